//! Reads a key set from standard input and says whether a token can be trusted.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use verify_session::{Demand, Key, verify_session};

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [token, audience] = arguments.as_slice() else {
        eprintln!("usage: verify-session <token> <audience> < jwks.json");
        return ExitCode::from(2);
    };
    let set: KeySet = match serde_json::from_reader(std::io::stdin()) {
        Ok(set) => set,
        Err(error) => {
            eprintln!("cannot read the key set: {error}");
            return ExitCode::from(2);
        }
    };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let demand = Demand { audience, tier_min: 1, policy_epoch_min: 0 };
    match verify_session(token, &set.keys, demand, u64::try_from(now_ms).unwrap_or(u64::MAX)) {
        Ok(session) => {
            println!("genuine: {} runs {}, tier {}", session.device_id, session.build_version, session.tier);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("refuse this token: {error}");
            ExitCode::FAILURE
        }
    }
}
