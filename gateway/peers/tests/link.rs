//! The link between servers as its users see it: who is let in, that every request has its own answer, and what is said of
//! one whose connection ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farerush_peers::{Answers, Asked, Door, NotAnswered, Peers, Pieces, Reply, Secret};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Says what it was asked; keeps whoever asks for `/slow` until it is told.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
    slow: Arc<Notify>,
    is_slow: Arc<Notify>,
    followers: Arc<AtomicUsize>,
}

fn said(asked: &Asked) -> Reply {
    let text = format!("{} {} {:?} ", asked.request.method(), asked.request.uri(), asked.peer);
    let body = [text.as_bytes(), asked.request.body()].concat();
    Reply::Answer(Response::builder().status(201).header("x-said", "1").body(body.into()).unwrap())
}

impl Answers for Echo {
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Reply> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (slow, is_slow) = (self.slow.clone(), self.is_slow.clone());
        async move {
            if asked.request.uri().path() == "/slow" {
                is_slow.notify_one();
                slow.notified().await;
            }
            match asked.request.uri().path() {
                "/not-mine" => Reply::NotMine(Response::new(Bytes::new())),
                _ => said(&asked),
            }
        }
        .boxed()
    }

    fn follow(&self, asked: Asked) -> BoxFuture<'static, (Reply, Option<Pieces>)> {
        let followers = self.followers.clone();
        async move {
            let (tell, pieces) = mpsc::channel(1);
            let is_three = asked.request.uri().path() == "/three";
            followers.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                for n in 0.. {
                    if is_three && n == 3 {
                        break;
                    }
                    if tell.send(Bytes::from(vec![b'x'; n])).await.is_err() {
                        break;
                    }
                }
                followers.fetch_sub(1, Ordering::SeqCst);
            });
            (said(&asked), Some(pieces))
        }
        .boxed()
    }
}

async fn open(secret: &str) -> (SocketAddr, Arc<Echo>, tokio::task::JoinHandle<()>) {
    let door = Door::open("127.0.0.1:0".parse().unwrap(), Secret::derive(secret.as_bytes())).await.unwrap();
    let (address, echo) = (door.address().unwrap(), Arc::new(Echo::default()));
    (address, echo.clone(), tokio::spawn(door.serve(echo)))
}

fn peers(secret: &str) -> Peers {
    Peers::new(Secret::derive(secret.as_bytes()))
}

fn ask(target: &str, body: impl Into<Bytes>) -> Asked {
    let request = Request::builder().method("POST").uri(target).body(body.into()).unwrap();
    Asked { request, peer: Some("10.1.2.3".parse().unwrap()), left: Duration::from_secs(5) }
}

#[tokio::test]
async fn every_request_has_its_own_answer_though_many_are_under_way() {
    let (address, echo, _door) = open("s").await;
    let peers = peers("s");
    let asks = (0..2000).map(|n| {
        let peers = &peers;
        // Some are larger than what is sealed at once.
        let body = vec![b"abcdefgh"[n % 8]; if n % 100 == 0 { 200_000 } else { n % 300 }];
        async move {
            let reply = peers.ask(address, &ask(&format!("/n{n}"), body.clone())).await.unwrap();
            let Reply::Answer(answer) = reply else { panic!("it is its own") };
            assert_eq!((answer.status().as_u16(), answer.headers()["x-said"].as_bytes()), (201, &b"1"[..]));
            let wanted = [format!("POST /n{n} Some(10.1.2.3) ").as_bytes(), &body].concat();
            assert!(*answer.body() == wanted, "{n}");
        }
    });
    join_all(asks).await;
    assert_eq!(echo.asked.load(Ordering::SeqCst), 2000);
    let reply = peers.ask(address, &ask("/not-mine", "")).await.unwrap();
    assert!(matches!(reply, Reply::NotMine(_)));
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_heard_and_hears_nothing() {
    let (address, echo, _door) = open("right").await;
    assert_eq!(peers("wrong").ask(address, &ask("/", "")).await.unwrap_err(), NotAnswered::Unreached);
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    // It is closed, with or without a reset.
    let _ = stranger.read_to_end(&mut heard).await;
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(echo.asked.load(Ordering::SeqCst), 0);
    assert!(peers("right").ask(address, &ask("/", "")).await.is_ok(), "nobody else is kept out by it");
}

#[tokio::test]
async fn a_server_that_pretends_to_be_one_hears_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pretender = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 2];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(&[0, 48]).await.unwrap();
        stream.write_all(&[7; 48]).await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let asked = ask("/secret-of-a-customer", "a body that nobody else reads");
    assert_eq!(peers("s").ask(address, &asked).await.unwrap_err(), NotAnswered::Unreached);
    let heard = pretender.await.unwrap();
    assert!(!heard.windows(6).any(|part| part == b"secret" || part == b"a body"));
}

#[tokio::test]
async fn what_was_under_way_as_a_connection_ended_may_have_been_done_and_what_comes_after_was_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (real, echo, _door) = open("s").await;
    // A wire that can be cut.
    let cut = Arc::new(Notify::new());
    let wire = cut.clone();
    tokio::spawn(async move {
        let (mut one, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut other = TcpStream::connect(real).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut one, &mut other) => {}
            () = wire.notified() => {}
        }
    });
    let peers = Arc::new(peers("s"));
    let waits = tokio::spawn({
        let peers = peers.clone();
        async move { peers.ask(address, &ask("/slow", "")).await }
    });
    echo.is_slow.notified().await;
    cut.notify_one();
    assert_eq!(waits.await.unwrap().unwrap_err(), NotAnswered::Unknown);
    assert_eq!(peers.ask(address, &ask("/", "")).await.unwrap_err(), NotAnswered::Unreached);
    // Who asks once more, elsewhere, finds the way.
    assert!(peers.ask(real, &ask("/", "")).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_goes_on_comes_piece_by_piece_and_ends_with_either_end() {
    let (address, echo, _door) = open("s").await;
    let peers = peers("s");
    let mut followed = peers.follow(address, &ask("/three", "")).await.unwrap();
    let Some(Reply::Answer(answer)) = followed.reply() else { panic!("it begins with an answer") };
    assert_eq!(answer.status().as_u16(), 201);
    for length in 0..3 {
        assert_eq!(followed.piece().await.unwrap().len(), length);
    }
    assert!(followed.piece().await.is_none());
    let followed = peers.follow(address, &ask("/endless", "")).await.unwrap();
    assert_eq!(echo.followers.load(Ordering::SeqCst), 1);
    drop(followed);
    let gone = async {
        while echo.followers.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is seen that nobody follows");
}

#[tokio::test]
async fn whoever_stops_waiting_leaves_nothing_behind_and_has_asked_all_the_same() {
    let (address, echo, _door) = open("s").await;
    let peers = peers("s");
    let asked = ask("/slow", "");
    let waits = peers.ask(address, &asked);
    tokio::select! {
        _ = waits => panic!("it is slow"),
        () = echo.is_slow.notified() => {}
    }
    echo.slow.notify_one();
    for _ in 0..10 {
        assert!(peers.ask(address, &ask("/", "")).await.is_ok());
    }
}
