//! `apns-relay`: see README.md for its settings.

use std::process::ExitCode;

use apns_relay::{Relay, Setup, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let secret = setting("RELAY_SECRET").ok_or("RELAY_SECRET is not set: openssl rand -hex 32")?;
    let upstream = setting("APNS_URL").unwrap_or_else(|| String::from("https://api.push.apple.com"));
    let address = setting("RELAY_LISTEN").unwrap_or_else(|| String::from("127.0.0.1:8780"));
    let setup = Setup::new(&secret, &upstream)?;
    let relay = Relay::new(setup)?;
    let listener = TcpListener::bind(&address).await.map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let cannot_wait = |error| format!("cannot wait for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_wait)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_wait)?;
    let address = listener.local_addr().map_or(address, |at| at.to_string());
    eprintln!("listening at {address}, handing on to {upstream}");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(listener, relay, stop).await;
    Ok(())
}
