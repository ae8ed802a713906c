//! The servers that other tests start: that they start, come back with what they had, and leave nothing behind.

mod servers;

use std::io::Read;
use std::net::TcpStream;

use servers::{Flavour, RedisServer, SqlServer};
use sqlx::{Connection as _, MySqlConnection};

#[test]
fn a_redis_server_comes_back_with_what_it_had() {
    let mut server = RedisServer::start(&[]);
    assert!(server.command(&["SET", "seat", "12A"]).unwrap().starts_with("+OK"));
    let pid = server.pid();
    server.restart();
    assert_ne!(server.pid(), pid);
    assert!(server.command(&["GET", "seat"]).unwrap().contains("12A"));
    let (address, dir) = (server.address(), server.dir().to_owned());
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert!(!dir.exists());
}

#[test]
fn a_sql_server_of_each_flavour_comes_back_after_a_kill() {
    for (flavour, version) in [(Flavour::MySql, "9."), (Flavour::MariaDb, "MariaDB")] {
        let mut server = SqlServer::start_one(flavour, &["--wait_timeout=2"]);
        server.kill();
        assert!(TcpStream::connect(server.address()).is_err());
        server.restart();
        let mut greeting = [0; 64];
        let length = TcpStream::connect(server.address()).unwrap().read(&mut greeting).unwrap();
        let greeting = String::from_utf8_lossy(&greeting[..length]);
        assert!(greeting.contains(version), "{flavour:?}: {greeting}");
        let dir = server.dir().to_owned();
        drop(server);
        assert!(!dir.exists());
    }
}

/// What `scripts/matrix` heads its table with.
#[tokio::test]
async fn the_servers_of_the_run_say_which_they_are() {
    let sql = SqlServer::start(&[]);
    let mut connection = MySqlConnection::connect(&sql.url()).await.unwrap();
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut connection).await.unwrap();
    let store = if sql.flavour() == Flavour::MySql { "MySQL" } else { "MariaDB" };
    assert_eq!(store == "MariaDB", version.contains("MariaDB"), "{version}");
    println!("store: {store} {version}");
    let info = RedisServer::start(&[]).command(&["INFO", "server"]).unwrap();
    let said = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    // Valkey says the version of Redis that it is like, too.
    let (journal, version) = match said("valkey_version:") {
        Some(version) => ("Valkey", version),
        None => ("Redis", said("redis_version:").expect("a version")),
    };
    println!("journal: {journal} {version}");
}
