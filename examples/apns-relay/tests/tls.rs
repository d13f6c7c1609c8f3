//! The program itself against a stand-in for Apple with TLS: it speaks HTTP/2 because that was negotiated, and to nobody
//! whom the machine does not trust.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running `apns-relay` that ends with the test.
struct Program(Child, String);

impl Program {
    fn start(upstream: &str, trusted: &PathBuf) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_apns-relay"))
            .env("RELAY_SECRET", SECRET)
            .env("RELAY_LISTEN", "127.0.0.1:0")
            .env("APNS_URL", upstream)
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening at ").unwrap().split(',').next().unwrap().to_owned();
        Self(child, address)
    }

    async fn post(&self) -> (u16, String) {
        let request = Request::post(format!("http://{}/3/device/c0ffee", self.1))
            .header("relay-authorization", format!("Bearer {SECRET}"))
            .header("apns-topic", "example.app")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (parts, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate for `localhost` in a file, and a stand-in that has it. Also what was negotiated with callers.
async fn apple(name: &str) -> (PathBuf, u16, Arc<Mutex<Vec<Option<Vec<u8>>>>>) {
    let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
    let file = std::env::temp_dir().join(format!("apns-relay-{}-{name}.pem", std::process::id()));
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let negotiated: Arc<Mutex<Vec<Option<Vec<u8>>>>> = Arc::default();
    let seen = Arc::clone(&negotiated);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(socket) = acceptor.accept(socket).await else { continue };
            seen.lock().unwrap().push(socket.get_ref().1.alpn_protocol().map(<[u8]>::to_vec));
            let service = service_fn(|_| async {
                let refused =
                    hyper::Response::builder().status(410).body(Full::new(Bytes::from_static(b"gone"))).unwrap();
                Ok::<_, Infallible>(refused)
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), service),
            );
        }
    });
    (file, port, negotiated)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_negotiates_http2_with_whom_it_trusts() {
    let (certificate, port, negotiated) = apple("trusted").await;
    let program = Program::start(&format!("https://localhost:{port}"), &certificate);
    assert_eq!(program.post().await, (410, String::from("gone")));
    assert_eq!(*negotiated.lock().unwrap(), [Some(b"h2".to_vec())]);
    std::fs::remove_file(certificate).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_tells_nothing_to_whom_it_does_not_trust() {
    let (unknown, port, negotiated) = apple("unknown").await;
    let (trusted, _, _) = apple("other").await;
    let program = Program::start(&format!("https://localhost:{port}"), &trusted);
    assert_eq!(program.post().await, (502, String::from(r#"{"reason":"RelayNoConnection"}"#)));
    assert!(negotiated.lock().unwrap().is_empty());
    std::fs::remove_file(unknown).unwrap();
    std::fs::remove_file(trusted).unwrap();
}
