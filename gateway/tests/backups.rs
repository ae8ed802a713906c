//! `farerush backup` of a server that sells, and `farerush restore`: the real program, and what customers were told.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use farerush::base::time;
use farerush_engine::flight::Timestamp;
use rig::{Asked, Rig, start, until, verify};
use serde_json::Value;
use servers::SqlServer;
use support::load::{Kind, Load, Until};
use support::process::{Gateway, Plan};
use support::world::World;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn back_up(plan: &Plan, to: &Path) -> String {
    let output = plan.run_with("backup", &[to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// The same settings on data that were not there before.
fn beside(plan: &Plan, name: &str) -> Plan {
    let folder = plan.data_dir.parent().unwrap();
    let mut other = plan.clone();
    other.data_dir = folder.join(name);
    other.log = folder.join(format!("{name}.log"));
    other
}

fn restore(plan: &Plan, arguments: &[&str]) -> String {
    let output = plan.run_with("restore", arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// A moment with everything before it decided earlier, and everything behind it later.
fn moment() -> String {
    let now_is = |at: Timestamp| move || now() > at;
    until("the clock goes on", now_is(now()));
    let at = now();
    until("the clock goes on", now_is(at));
    time::text(at)
}

fn order(gateway: &Gateway, order: &Value) -> (u16, Value) {
    gateway.get(&format!("/v1/orders/{}", order["order_id"].as_str().unwrap()))
}

fn all_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_under(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_backup_of_a_server_that_sells_has_all_that_was_acknowledged_before_it() {
    let mut world = World::embedded("backup");
    world.start();
    world.fill_the_board();
    for id in ["BACKUP-LONG", "BACKUP-LONG2"] {
        world.create(support::flight::Flight::economy(id, 0, 999));
    }
    let mut load_plan = world.load_plan(4, Until::Told);
    load_plan.kind = Kind::GiveBack;
    let load = Load::start(world.runtime.handle(), &load_plan);
    load.wait_sold_more_than(100, rig::PATIENCE);
    let plan = world.plan.clone();
    for number in 1..=2 {
        world.gateway().create(&format!("KEEP{number}"));
        let kept: Vec<Value> = (0..5)
            .map(|key| world.gateway().grab(&format!("KEEP{number}"), &format!("{number}-{key}")))
            .collect();
        let sold = load.sold();
        let target = plan.data_dir.with_file_name(format!("backup-{number}"));
        let text = back_up(&plan, &target);
        assert!(text.contains("0 with a difference") && text.contains("backed up to"), "{text}");
        load.wait_sold_more_than(sold, rig::PATIENCE);
        for path in all_under(&target) {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
            let name = path.file_name().unwrap();
            assert!(name != "id.secret" && name != "admin.token", "a secret is in the backup");
        }
        let other = beside(&plan, &format!("restored-{number}"));
        restore(&other, &[target.to_str().unwrap()]);
        verify(&other);
        let restored = start(&other);
        for known in &kept {
            assert_eq!(order(&restored, known), (200, known.clone()));
        }
        assert_eq!(restored.try_grab(&format!("KEEP{number}"), "another").0, 201);
        restored.stop();
        verify(&other);
    }
    // The original has noticed nothing.
    world.check(load);
    world.stop();
    world.verify();
}

#[test]
fn a_restore_to_a_moment_has_what_was_sold_by_then_and_nothing_later() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let gateway = start(&plan);
    gateway.create("FR1");
    let before: Vec<Value> = (0..5).map(|key| gateway.grab("FR1", &format!("before-{key}"))).collect();
    let then = moment();
    let later: Vec<Value> = (0..5).map(|key| gateway.grab("FR1", &format!("later-{key}"))).collect();
    let cancelled = format!("/v1/orders/{}/cancel", before[0]["order_id"].as_str().unwrap());
    assert_eq!(gateway.post(&cancelled, "{}").0, 200);
    gateway.create("FR2");
    let elsewhere = gateway.grab("FR2", "elsewhere");
    assert_eq!(gateway.listed().len(), 11, "the store has it all");
    let target = folder.path().join("backup");
    back_up(&plan, &target);
    gateway.stop();

    let other = beside(&plan, "then");
    let text = restore(&other, &[target.to_str().unwrap(), "--until", &then]);
    assert!(text.contains(&format!("restored as of {then}: 1 flights")), "{text}");
    let shown = verify(&other);
    assert!(shown.contains("FR1") && !shown.contains("FR2"), "{shown}");
    let restored = start(&other);
    for known in &before {
        assert_eq!(order(&restored, known), (200, known.clone()), "as it was then");
    }
    for unknown in later.iter().chain([&elsewhere]) {
        assert_eq!(order(&restored, unknown).1["code"], "ORDER_NOT_FOUND", "{unknown}");
    }
    assert_eq!(restored.get("/v1/flights/FR2").0, 404);
    assert_eq!(restored.available("FR1"), 180 - 5);
    let mut listed = restored.listed();
    let mut known: Vec<Value> = before.iter().map(|order| order["order_id"].clone()).collect();
    listed.sort_by_key(Value::to_string);
    known.sort_by_key(Value::to_string);
    assert_eq!(listed, known);
    // The keys of what is gone are free, and its names are nobody's.
    let anew = restored.grab("FR1", "later-0");
    assert_ne!(anew["order_id"], later[0]["order_id"]);
    restored.stop();
    verify(&other);

    // Before there was anything.
    let nothing = beside(&plan, "nothing");
    let text = restore(&nothing, &[target.to_str().unwrap(), "--until", "2020-01-01T00:00:00Z"]);
    assert!(text.contains("0 flights, 0 with a difference"), "{text}");
    let empty = start(&nothing);
    empty.create("FR1");
    empty.grab("FR1", "k");
    empty.stop();
    verify(&nothing);
}

#[test]
fn a_backup_and_a_restore_write_over_nothing_and_say_what_they_want() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let refused = |plan: &Plan, command: &str, arguments: &[&str], words: &str| {
        let output = plan.run_with(command, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    };
    let target = folder.path().join("backup");
    let to = target.to_str().unwrap();
    refused(&plan, "backup", &[to], "there is no journal at");
    assert!(!target.exists() && !plan.data_dir.exists(), "nothing was made");
    let gateway = start(&plan);
    gateway.create("FR1");
    gateway.grab("FR1", "k");
    back_up(&plan, &target);
    refused(&plan, "backup", &[to], "is there already");
    refused(&plan, "restore", &[to], "another farerush process uses");
    gateway.stop();
    refused(&plan, "restore", &[to], "is there already");
    verify(&plan);
    let other = beside(&plan, "other");
    refused(&other, "restore", &[folder.path().to_str().unwrap()], "no finished backup");
    refused(&other, "restore", &[to, "--until", "2100-01-01T00:00:00Z"], "does not know what was there");
    let mut without = other.clone();
    without.settings.retain(|(key, _)| key != "id_secret");
    refused(
        &without,
        "restore",
        &[to, "--until", "2020-01-01T00:00:00Z"],
        "the secret that their ids are made of",
    );
    let on_servers = plan.with("journal", "redis://127.0.0.1:1/0").with("store", "mysql://a:b@127.0.0.1:1/c");
    refused(&on_servers, "backup", &[folder.path().join("b").to_str().unwrap()], "scripts/backup-servers");
    assert!(!other.data_dir.join("journal").exists() && !other.data_dir.join("farerush.db").exists());
    // One that was damaged since: nothing is made of it, and nothing is left of the attempt.
    let damaged = folder.path().join("damaged");
    let copied = std::process::Command::new("cp").arg("-r").args([&target, &damaged]).status().unwrap();
    assert!(copied.success());
    let mut segments = all_under(&damaged.join("journal"));
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
    refused(&other, "restore", &[damaged.to_str().unwrap()], "journal damaged");
    let left: Vec<PathBuf> = all_under(&other.data_dir);
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("restoring")), "{left:?}");
    restore(&other, &[to]);
    verify(&other);
}

/// Runs one of the scripts for servers; gives what it said.
fn script(name: &str, argument: &Path, settings: &[(&str, String)]) -> (bool, String) {
    let mut command =
        std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name));
    command.arg(argument).envs(settings.iter().map(|(key, value)| (key, value)));
    let output = command.output().unwrap();
    (output.status.success(), said(&output))
}

#[test]
fn the_scripts_for_redis_and_mysql_back_up_what_is_selling_and_put_it_back_elsewhere() {
    let rig = Rig::new();
    let plan = rig.plan("one");
    let mut world = World::on_servers("backupservers", &rig.redis.url(), &rig.mariadb.url());
    world.start();
    world.fill_the_board();
    world.gateway().create("KEEP");
    let load_plan = world.load_plan(8, Until::Told);
    let load = Load::start(world.runtime.handle(), &load_plan);
    load.wait_sold_more_than(20, rig::PATIENCE);
    let kept: Vec<Value> = (0..5).map(|key| world.gateway().grab("KEEP", &format!("k-{key}"))).collect();
    let target = rig.folder.path().join("backup");
    let settings = |redis: &servers::RedisServer, sql: &SqlServer| {
        vec![
            ("FARERUSH_JOURNAL", redis.url()),
            ("FARERUSH_STORE", sql.url()),
            ("REDIS_DIR", redis.dir().display().to_string()),
            ("MYSQLDUMP", sql.client("mysqldump", "mariadb-dump")),
            ("MYSQL", sql.client("mysql", "mariadb")),
        ]
    };
    let here = settings(&rig.redis, &rig.mariadb);
    let (done, text) = script("backup-servers", &target, &here);
    assert!(done && text.contains("backed up to"), "{text}");
    let (done, text) = script("backup-servers", &target, &here);
    assert!(!done && text.contains("is there already"), "{text}");
    load.wait_sold_more_than(load.sold(), rig::PATIENCE);
    world.check(load);

    let (mut redis, sql) = (servers::RedisServer::start(&[]), SqlServer::start(&[]));
    redis.kill();
    let there = settings(&redis, &sql);
    let (done, text) = script("restore-servers", &target, &there);
    assert!(!done && text.contains("is there already"), "{text}");
    std::fs::remove_dir_all(redis.dir().join("appendonlydir")).unwrap();
    let (done, text) = script("restore-servers", &target, &there);
    assert!(done && text.contains("restored what was backed up"), "{text}");
    let (done, text) = script("restore-servers", &target, &there);
    assert!(!done && text.contains("is there already"), "{text}");
    redis.restart();
    let other = plan.with("journal", &redis.url()).with("store", &sql.url());
    assert!(verify(&other).contains("KEEP"));
    let restored = start(&other);
    for known in &kept {
        assert_eq!(order(&restored, known), (200, known.clone()));
    }
    assert_eq!(restored.try_grab("KEEP", "another").0, 201);
    restored.stop();
    verify(&other);
}
