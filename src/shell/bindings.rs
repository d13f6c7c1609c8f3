//! Platform calls that the `worker` crate does not wrap, or wraps in a way that panics.

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, WebSocket};
use worker::worker_sys::{DurableObjectStorage, SqlStorage};

#[wasm_bindgen(module = "/src/shell/glue.mjs")]
extern "C" {
    /// Runs `statements[i]` with `params[i]`, all of them or none.
    #[wasm_bindgen(catch, js_name = commitAll)]
    pub(super) fn commit_all(storage: &DurableObjectStorage, statements: Array, params: Array) -> Result<(), JsValue>;

    /// All rows of a `SELECT`, each an array of its columns.
    #[wasm_bindgen(catch, js_name = readAll)]
    pub(super) fn read_all(sql: &SqlStorage, statement: &str, params: Array) -> Result<Array, JsValue>;

    /// A response whose headers are `constant` with `headers` (`name\nvalue\n…`) set on top.
    #[wasm_bindgen(js_name = respond)]
    pub(super) fn respond(status: u16, constant: &JsValue, headers: &str, body: &JsValue) -> JsValue;

    /// As [`respond`], but sets `headers` on `prepared` itself, which saves a copy. For headers that every response made
    /// of `prepared` sets.
    #[wasm_bindgen(js_name = respondAgain)]
    pub(super) fn respond_again(status: u16, prepared: &JsValue, headers: &str, body: &JsValue) -> JsValue;

    /// Headers (`name\nvalue\n…`) to be given to [`respond`] again and again.
    #[wasm_bindgen(js_name = constantHeaders)]
    pub(super) fn constant_headers(headers: &str) -> JsValue;

    /// Method, URL and the headers that the front looks at, one a line, in one crossing.
    #[wasm_bindgen(js_name = readHead)]
    pub(super) fn read_head(request: &Request, client_address_header: &str) -> String;

    /// An accepted upgrade; `socket` is the client's end.
    #[wasm_bindgen(js_name = upgraded)]
    pub(super) fn upgraded(socket: &WebSocket) -> JsValue;

    /// Calls `stub.call(head, body)` of another object.
    #[wasm_bindgen(catch, js_name = callObject)]
    pub(super) fn call_object(
        env: &JsValue,
        binding: &str,
        name: &str,
        head: &str,
        body: Uint8Array,
    ) -> Result<Promise, JsValue>;

    /// Passes an upgrade on to another object.
    #[wasm_bindgen(catch, js_name = openObject)]
    pub(super) fn open_object(env: &JsValue, binding: &str, name: &str, head: &str) -> Result<Promise, JsValue>;

    /// The request's body, or nothing when it is longer than `max` bytes.
    #[wasm_bindgen(catch, js_name = readBody)]
    pub(super) fn read_body(request: &JsValue, max: u32) -> Result<Promise, JsValue>;

    /// An HTTP request to the outside: a promise of `["fetched", head, bytes]`, or `["failed", why]`.
    #[wasm_bindgen(js_name = fetchOutside)]
    pub(super) fn fetch_outside(
        method: &str,
        url: &str,
        headers: &str,
        body: Uint8Array,
        timeout_ms: u32,
        answer_bytes_max: u32,
    ) -> Promise;

    /// RSASSA-PKCS1-v1_5 with SHA-256 by the platform: a promise of `["signed", "", bytes]`, or `["failed", "other"]`.
    #[wasm_bindgen(js_name = signRs256)]
    pub(super) fn sign_rs256(pem: &str, message: Uint8Array) -> Promise;

    /// What the shim does for a host: it runs errands and passes sockets on.
    pub type Port;

    /// Brings what the promise is settled with back to [`super::host::ObjectHost::told`].
    #[wasm_bindgen(method)]
    pub(super) fn run(this: &Port, life: u32, ticket: u32, errand: Promise);

    /// Passes every frame of `socket` on to a socket of another object, and back.
    #[wasm_bindgen(method)]
    pub(super) fn transfer(
        this: &Port,
        conn: u32,
        socket: &WebSocket,
        binding: &str,
        name: &str,
        head: &str,
        first: &str,
    );

    /// When the runtime last answered a ping of this socket itself; `NaN` for never. Milliseconds since the epoch.
    #[wasm_bindgen(js_name = lastAutoResponse)]
    pub(super) fn last_auto_response(state: &JsValue, socket: &WebSocket) -> f64;

    /// Sets the object's alarm. Milliseconds since the epoch.
    #[wasm_bindgen(catch, js_name = setAlarm)]
    pub(super) fn set_alarm(storage: &DurableObjectStorage, at_ms: f64) -> Result<(), JsValue>;

    /// Remembers on the JavaScript object of a socket which connection it is.
    #[wasm_bindgen(js_name = markSocket)]
    pub(super) fn mark_socket(socket: &WebSocket, conn: u32);

    /// Sends one text to many sockets; a socket that is closing is passed over.
    #[wasm_bindgen(js_name = sendAll)]
    pub(super) fn send_all(sockets: Array, text: &str);
}
