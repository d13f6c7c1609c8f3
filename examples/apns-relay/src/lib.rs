//! A relay between an HTTP/1.1 client and Apple's push service, which speaks HTTP/2 only.
//!
//! It knows one request, `POST /3/device/{token}`, and changes nothing in it: path, body, Apple's headers and the
//! provider token pass as they are, and so do Apple's status, body, `apns-id` and `apns-unique-id`. It holds no key of
//! Apple's, keeps nothing, and logs neither tokens nor bodies. Whoever calls needs the relay's own secret, because
//! anybody with a provider token could use an open one.
//!
//! One HTTP/2 connection carries all requests at once; it is opened when it is needed and again when Apple closes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The header that opens the relay; `Authorization` is Apple's.
pub const SECRET_HEADER: HeaderName = HeaderName::from_static("relay-authorization");

/// Apple takes 4 KiB, and 5 KiB of calls.
pub const BODY_BYTES_MAX: usize = 5 * 1024;

/// Apple's answers are a hundred bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Apple's device tokens have 64 hex digits today, and may have more.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// Requests under way at once; more are told to come back.
pub const REQUESTS_MAX: usize = 512;

/// Connections at once; more wait until one ends.
pub const CONNECTIONS_MAX: usize = 1024;

/// The shortest secret that is taken.
pub const SECRET_CHARS_MIN: usize = 32;

/// What passes to Apple.
const REQUEST_HEADERS: [&str; 8] = [
    "apns-id",
    "apns-topic",
    "apns-push-type",
    "apns-priority",
    "apns-expiration",
    "apns-collapse-id",
    "authorization",
    "content-type",
];

/// What passes back.
const ANSWER_HEADERS: [&str; 4] = ["apns-id", "apns-unique-id", "content-type", "retry-after"];

/// How the relay is set up.
#[derive(Clone)]
pub struct Setup {
    /// What callers must show. At least [`SECRET_CHARS_MIN`] characters.
    pub secret: String,
    /// Apple, or a stand-in: scheme and host only.
    pub upstream: Uri,
    /// How long Apple may take for an answer.
    pub answer_timeout: Duration,
    /// How long a caller may take for its request, and a connection may be idle.
    pub request_timeout: Duration,
    /// See [`REQUESTS_MAX`].
    pub requests_max: usize,
}

impl Setup {
    /// The usual setup.
    ///
    /// Errors: a sentence for the operator.
    pub fn new(secret: &str, upstream: &str) -> Result<Self, String> {
        if secret.len() < SECRET_CHARS_MIN {
            return Err(format!("RELAY_SECRET must have at least {SECRET_CHARS_MIN} characters: openssl rand -hex 32"));
        }
        let malformed = || format!("APNS_URL must look like https://api.push.apple.com, not {upstream}");
        let uri: Uri = upstream.trim_end_matches('/').parse().map_err(|_| malformed())?;
        let host = uri.host().ok_or_else(malformed)?;
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let is_safe = uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_here);
        if !is_safe || uri.path() != "/" || uri.query().is_some() {
            return Err(malformed());
        }
        Ok(Self {
            secret: secret.to_owned(),
            upstream: uri,
            answer_timeout: Duration::from_secs(4),
            request_timeout: Duration::from_secs(10),
            requests_max: REQUESTS_MAX,
        })
    }
}

type Answer = Response<Full<Bytes>>;

/// A running relay's parts, shared by its connections.
pub struct Relay {
    setup: Setup,
    secret_hash: [u8; 32],
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    under_way: Semaphore,
}

impl Relay {
    /// A relay that is set up so. It trusts whom the machine trusts (or `SSL_CERT_FILE`).
    ///
    /// Errors: a sentence for the operator.
    pub fn new(setup: Setup) -> Result<Self, String> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("this machine has no certificates to trust (package ca-certificates): {error}"))?
            .https_or_http()
            .enable_http2()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            // Apple keeps idle connections and wants no new one per request; a ping finds out about a dead one.
            .pool_idle_timeout(Duration::from_secs(3600))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .http2_keep_alive_while_idle(true)
            .build(connector);
        let secret_hash = Sha256::digest(setup.secret.as_bytes()).into();
        let under_way = Semaphore::new(setup.requests_max);
        Ok(Self { setup, secret_hash, client, under_way })
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        if request.uri().path() == "/health" {
            return plain(StatusCode::OK, Bytes::from_static(b"ok\n"));
        }
        if !self.is_admitted(request.headers()) {
            return refused(StatusCode::UNAUTHORIZED, "RelayUnauthorized");
        }
        let Some(token) = request.uri().path().strip_prefix("/3/device/").filter(|token| is_token(token)) else {
            return refused(StatusCode::NOT_FOUND, "RelayBadPath");
        };
        let path = format!("/3/device/{token}");
        if request.method() != Method::POST {
            let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
            answer.headers_mut().insert(hyper::header::ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let Ok(_permit) = self.under_way.try_acquire() else {
            let mut answer = refused(StatusCode::SERVICE_UNAVAILABLE, "RelayBusy");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return answer;
        };
        let (parts, body) = request.into_parts();
        match timeout(self.setup.request_timeout, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => self.forward(&path, &parts.headers, body.to_bytes()).await,
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                refused(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge")
            }
            Ok(Err(_)) => refused(StatusCode::BAD_REQUEST, "RelayBrokenRequest"),
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "RelayBrokenRequest"),
        }
    }

    /// Whether the caller shows the secret. Hashed first, so that neither content nor length shows in the time.
    fn is_admitted(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(SECRET_HEADER).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| Sha256::digest(shown).as_slice().ct_eq(self.secret_hash.as_slice()).into())
    }

    /// Sends a request to Apple and brings back what Apple says.
    async fn forward(&self, path: &str, headers: &HeaderMap, body: Bytes) -> Answer {
        let upstream = &self.setup.upstream;
        let uri = Uri::builder()
            .scheme(upstream.scheme_str().unwrap_or("https"))
            .authority(upstream.authority().map_or("", |authority| authority.as_str()))
            .path_and_query(path)
            .build();
        let Ok(uri) = uri else { return refused(StatusCode::NOT_FOUND, "RelayBadPath") };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        copy(&REQUEST_HEADERS, headers, request.headers_mut());
        if let Some(authorization) = request.headers_mut().get_mut(AUTHORIZATION) {
            authorization.set_sensitive(true);
        }
        let exchange = async {
            let (parts, body) = self.client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.ok()?.to_bytes();
            Some((parts, body))
        };
        match timeout(self.setup.answer_timeout, exchange).await {
            Ok(Some((parts, body))) => {
                let mut answer = Response::new(Full::new(body));
                *answer.status_mut() = parts.status;
                copy(&ANSWER_HEADERS, &parts.headers, answer.headers_mut());
                answer
            }
            Ok(None) => refused(StatusCode::BAD_GATEWAY, "RelayNoConnection"),
            Err(_) => refused(StatusCode::GATEWAY_TIMEOUT, "RelayTimedOut"),
        }
    }
}

fn is_token(token: &str) -> bool {
    (1..=TOKEN_CHARS_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn copy(names: &[&'static str], from: &HeaderMap, to: &mut HeaderMap) {
    for name in names {
        if let Some(value) = from.get(*name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

fn plain(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
}

/// A refusal of the relay's own, in the form of Apple's.
fn refused(status: StatusCode, reason: &str) -> Answer {
    let mut answer = plain(status, Bytes::from(format!("{{\"reason\":\"{reason}\"}}")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Serves connections until `stop` ends; requests under way are finished first.
pub async fn serve(listener: TcpListener, relay: Relay, stop: impl Future<Output = ()>) {
    let relay = Arc::new(relay);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, socket) = tokio::select! {
            (permit, socket) = accepted => (permit, socket),
            () = &mut stop => break,
        };
        // Out of file descriptors, most likely: others must end first.
        let Ok((socket, _)) = socket else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = graceful.watch(connection(socket, Arc::clone(&relay)));
        tokio::spawn(async move {
            let _permit = permit;
            // A caller that goes away is no trouble of ours.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = timeout(Duration::from_secs(10), graceful.shutdown()).await;
}

fn connection(
    socket: TcpStream,
    relay: Arc<Relay>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    let header_timeout = relay.setup.request_timeout;
    let service = service_fn(move |request| {
        let relay = Arc::clone(&relay);
        async move { Ok::<_, std::convert::Infallible>(relay.answer(request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(64)
        .serve_connection(TokioIo::new(socket), service)
}
