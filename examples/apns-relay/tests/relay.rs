//! The relay against a stand-in for Apple that speaks HTTP/2 only.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apns_relay::{Relay, SECRET_HEADER, Setup, serve};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const TOKEN: &str = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff";

/// What the stand-in does with a request.
#[derive(Clone)]
enum Script {
    Answer(u16, &'static str),
    Silence,
    Flood,
}

/// A request that the stand-in has seen.
#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    path: String,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
    connection: usize,
}

struct Apple {
    address: String,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Told with every request.
    arrived: Arc<Notify>,
}

impl Apple {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let apple = Self {
            address: listener.local_addr().unwrap().to_string(),
            script: Arc::new(Mutex::new(Script::Answer(200, ""))),
            seen: Arc::default(),
            arrived: Arc::default(),
        };
        let (script, seen, arrived) = (Arc::clone(&apple.script), Arc::clone(&apple.seen), Arc::clone(&apple.arrived));
        tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let (script, seen, arrived) = (Arc::clone(&script), Arc::clone(&seen), Arc::clone(&arrived));
                let service = service_fn(move |request: Request<Incoming>| {
                    let script = script.lock().unwrap().clone();
                    let (seen, arrived) = (Arc::clone(&seen), Arc::clone(&arrived));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        seen.lock().unwrap().push(Seen {
                            method: parts.method,
                            path: parts.uri.path().to_owned(),
                            version: parts.version,
                            headers: parts.headers,
                            body,
                            connection,
                        });
                        arrived.notify_one();
                        Ok::<_, Infallible>(act(script).await)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        apple
    }

    fn does(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn act(script: Script) -> Response<Full<Bytes>> {
    let (status, body) = match script {
        Script::Answer(status, body) => (status, Bytes::from_static(body.as_bytes())),
        Script::Silence => std::future::pending().await,
        Script::Flood => (200, Bytes::from(vec![b'x'; 70_000])),
    };
    Response::builder()
        .status(status)
        .header("apns-id", "11111111-2222-3333-4444-555555555555")
        .header("apns-unique-id", "u")
        .header("retry-after", "9")
        .header("set-cookie", "no=thing")
        .body(Full::new(body))
        .unwrap()
}

/// A running relay, and a client that speaks HTTP/1.1 to it.
struct Stage {
    address: String,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Stage {
    async fn start(upstream: &str, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new(SECRET, &format!("http://{upstream}")).unwrap();
        change(&mut setup);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, Relay::new(setup).unwrap(), async {
            let _ = stopped.await;
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, client, stop: Some(stop), served }
    }

    fn request(&self, method: Method, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(SECRET_HEADER, format!("Bearer {SECRET}"))
            .header("authorization", "bearer provider.token.x")
            .header("apns-topic", "example.app")
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", "1700000000")
            .header("apns-collapse-id", "k")
            .header("cookie", "secret=1")
            .body(Full::new(Bytes::copy_from_slice(body)))
            .unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Got {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn post(&self, path: &str, body: &[u8]) -> Got {
        self.send(self.request(Method::POST, path, body)).await
    }
}

fn device() -> String {
    format!("/3/device/{TOKEN}")
}

#[tokio::test]
async fn a_notification_passes_unchanged_over_http2() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    let body = r#"{"aps":{"alert":"hé"}}"#;
    let got = stage.post(&device(), body.as_bytes()).await;
    assert_eq!((got.status, got.body.as_str()), (200, ""));
    assert_eq!(got.headers["apns-id"], "11111111-2222-3333-4444-555555555555");
    assert_eq!(got.headers["apns-unique-id"], "u");
    assert!(!got.headers.contains_key("set-cookie"));

    let seen = apple.seen().remove(0);
    assert_eq!((seen.method, seen.version), (Method::POST, Version::HTTP_2));
    assert_eq!(seen.path, device());
    assert_eq!(seen.body, body);
    for (name, value) in [
        ("authorization", "bearer provider.token.x"),
        ("apns-topic", "example.app"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", "1700000000"),
        ("apns-collapse-id", "k"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    for absent in ["relay-authorization", "cookie"] {
        assert!(!seen.headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn what_apple_says_passes_back() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    for (status, body) in [
        (410, r#"{"reason":"Unregistered","timestamp":1700000000000}"#),
        (400, r#"{"reason":"BadDeviceToken"}"#),
        (429, r#"{"reason":"TooManyRequests"}"#),
        (503, r#"{"reason":"Shutdown"}"#),
    ] {
        apple.does(Script::Answer(status, body));
        let got = stage.post(&device(), b"{}").await;
        assert_eq!((got.status, got.body.as_str()), (status, body));
        assert_eq!(got.headers["retry-after"], "9");
    }
}

#[tokio::test]
async fn one_connection_carries_everything() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    for _ in 0..20 {
        assert_eq!(stage.post(&device(), b"{}").await.status, 200);
    }
    let seen = apple.seen();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|seen| seen.connection == 0));
}

#[tokio::test]
async fn nobody_passes_without_the_secret() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    for shown in ["", "Bearer ", "Bearer wrong", SECRET, "Bearer 0123456789abcdef0123456789abcdeF"] {
        let mut request = stage.request(Method::POST, &device(), b"{}");
        request.headers_mut().insert(SECRET_HEADER, shown.parse().unwrap());
        let got = stage.send(request).await;
        assert_eq!((got.status, got.body.as_str()), (401, r#"{"reason":"RelayUnauthorized"}"#), "{shown}");
    }
    let mut request = stage.request(Method::GET, "/anything", b"");
    request.headers_mut().remove(SECRET_HEADER);
    assert_eq!(stage.send(request).await.status, 401, "what there is, is not told");
    assert!(apple.seen().is_empty());
}

#[tokio::test]
async fn nothing_but_a_device_can_be_asked_for() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    for path in [
        "/",
        "/3/device/",
        "/3/device/xyz",
        "/3/device/aa/bb",
        "/3/device/..%2f",
        "/4/broadcasts/apps/x",
        "/3/device/aa%20",
    ] {
        let got = stage.post(path, b"{}").await;
        assert_eq!((got.status, got.body.as_str()), (404, r#"{"reason":"RelayBadPath"}"#), "{path}");
    }
    let long = format!("/3/device/{}", "a".repeat(4097));
    assert_eq!(stage.post(&long, b"{}").await.status, 404);
    let got = stage.send(stage.request(Method::GET, &device(), b"")).await;
    assert_eq!(got.status, 405);
    assert_eq!(got.headers["allow"], "POST");
    assert!(apple.seen().is_empty());
    assert_eq!(stage.post("/3/device/aa?x=y", b"{}").await.status, 200);
    assert_eq!(apple.seen()[0].path, "/3/device/aa");
}

#[tokio::test]
async fn a_payload_that_is_too_long_is_refused_here() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |_| {}).await;
    assert_eq!(stage.post(&device(), &[b' '; 5 * 1024]).await.status, 200);
    let got = stage.post(&device(), &[b' '; 5 * 1024 + 1]).await;
    assert_eq!((got.status, got.body.as_str()), (413, r#"{"reason":"PayloadTooLarge"}"#));
    assert_eq!(apple.seen().len(), 1);
}

#[tokio::test]
async fn an_apple_that_is_silent_gone_or_endless_is_trouble_to_retry() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |setup| setup.answer_timeout = Duration::from_millis(200)).await;
    apple.does(Script::Silence);
    let got = stage.post(&device(), b"{}").await;
    assert_eq!((got.status, got.body.as_str()), (504, r#"{"reason":"RelayTimedOut"}"#));
    apple.does(Script::Flood);
    assert_eq!(stage.post(&device(), b"{}").await.status, 502);
    apple.does(Script::Answer(200, ""));
    assert_eq!(stage.post(&device(), b"{}").await.status, 200, "and works again");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let alone = Stage::start(&closed, |_| {}).await;
    let got = alone.post(&device(), b"{}").await;
    assert_eq!((got.status, got.body.as_str()), (502, r#"{"reason":"RelayNoConnection"}"#));
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_back() {
    let apple = Apple::start().await;
    let stage = Stage::start(&apple.address, |setup| setup.requests_max = 1).await;
    apple.does(Script::Silence);
    let held = stage.client.request(stage.request(Method::POST, &device(), b"{}"));
    let held = tokio::spawn(held);
    apple.arrived.notified().await;
    let got = stage.post(&device(), b"{}").await;
    assert_eq!((got.status, got.body.as_str()), (503, r#"{"reason":"RelayBusy"}"#));
    assert_eq!(got.headers["retry-after"], "1");
    held.abort();
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_end() {
    let apple = Apple::start().await;
    let mut stage = Stage::start(&apple.address, |setup| setup.answer_timeout = Duration::from_millis(300)).await;
    apple.does(Script::Silence);
    let held = tokio::spawn(stage.client.request(stage.request(Method::POST, &device(), b"{}")));
    apple.arrived.notified().await;
    stage.stop.take().unwrap().send(()).unwrap();
    assert_eq!(held.await.unwrap().unwrap().status(), StatusCode::GATEWAY_TIMEOUT, "answered, not cut");
    stage.served.await.unwrap();
}

#[tokio::test]
async fn whether_it_runs_may_be_asked_by_anybody() {
    let stage = Stage::start("127.0.0.1:1", |_| {}).await;
    let mut request = stage.request(Method::GET, "/health", b"");
    request.headers_mut().remove(SECRET_HEADER);
    let got = stage.send(request).await;
    assert_eq!((got.status, got.body.as_str()), (200, "ok\n"));
}

#[test]
fn a_careless_setup_is_refused() {
    assert!(Setup::new(SECRET, "https://api.push.apple.com").is_ok());
    assert!(Setup::new(SECRET, "https://api.push.apple.com:2197/").is_ok());
    assert!(Setup::new(SECRET, "http://127.0.0.1:9").is_ok());
    for (secret, upstream) in [
        ("short", "https://api.push.apple.com"),
        (SECRET, "http://api.push.apple.com"),
        (SECRET, "api.push.apple.com"),
        (SECRET, "https://api.push.apple.com/3"),
        (SECRET, ""),
    ] {
        assert!(Setup::new(secret, upstream).is_err(), "{upstream}");
    }
}
