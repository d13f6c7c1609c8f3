//! The clock, the randomness, the settings and the console of this isolate.

use std::cell::OnceCell;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use worker::{console_error, console_log, console_warn};

use crate::front::log;
use crate::kernel::entropy::Entropy;
use crate::kernel::fault::Fault;
use crate::kernel::settings::{LogLevel, SettingProblem, Settings, parse};
use crate::kernel::time::Timestamp;

/// The time of the current event. In production it moves only with I/O.
pub(super) fn now() -> Timestamp {
    // Whole and positive by definition of `Date.now()`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Timestamp::from_millis(js_sys::Date::now() as u64)
}

/// The operating system's randomness.
pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // `crypto.getRandomValues` cannot fail; going on with zeroes would be worse than stopping.
            wasm_bindgen::throw_str("no randomness");
        }
    }
}

/// The settings as they came out, kept for the life of the isolate.
pub(super) type Configured = Result<Rc<Settings>, Vec<SettingProblem>>;

thread_local! {
    static SETTINGS: OnceCell<Configured> = const { OnceCell::new() };
}

/// Reads the settings from the environment once; the first reader logs what is malformed.
pub(super) fn settings(env: &JsValue) -> Configured {
    SETTINGS.with(|cell| {
        cell.get_or_init(|| {
            let lookup = |name: &str| js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?.as_string();
            let parsed = parse(&lookup);
            if let Err(problems) = &parsed {
                let now = now();
                problems.iter().for_each(|problem| console_error!("{}", log::setting_line(problem, now)));
            }
            parsed.map(Rc::new)
        })
        .clone()
    })
}

/// Prints a log line if the settings want lines that grave.
pub(super) fn print(level: LogLevel, wanted: LogLevel, line: impl FnOnce() -> String) {
    if level < wanted {
        return;
    }
    match level {
        LogLevel::Error => console_error!("{}", line()),
        LogLevel::Warning => console_warn!("{}", line()),
        LogLevel::Debug | LogLevel::Info => console_log!("{}", line()),
    }
}

/// Prints a line about trouble of our own, whatever the settings want.
pub(super) fn print_error(line: impl FnOnce() -> String) {
    console_error!("{}", line());
}

/// What a refused platform call said, for the log.
pub(super) fn platform(error: &JsValue) -> Fault {
    let text = js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|message| message.as_string());
    Fault::Platform(text.unwrap_or_else(|| format!("{error:?}")))
}
