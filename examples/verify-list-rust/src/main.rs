//! Reads a list from standard input and says whether it can be trusted.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use verify_list::verify_list;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((header, keys)) = arguments.split_first().filter(|(_, keys)| !keys.is_empty()) else {
        eprintln!("usage: verify-list <X-Bootstrap-Signature(s) header> <public key>... < body");
        return ExitCode::from(2);
    };
    let mut body = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut body) {
        eprintln!("cannot read the body: {error}");
        return ExitCode::from(2);
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match verify_list(&body, header, &keys, u64::try_from(now_ms).unwrap_or(u64::MAX)) {
        Ok(list) => {
            println!("genuine: {} servers, signed at {}", list.servers.len(), list.timestamp);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("do not use this list: {error}");
            ExitCode::FAILURE
        }
    }
}
