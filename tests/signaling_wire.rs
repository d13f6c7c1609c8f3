//! The exact bytes of every frame, and what damaged ones do.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod signaling_play;
mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use signaling_play::{CALL_ID, KEY, OTHER_KEY, Room, enrol, from, guest, peer, room};
use waystation::attestation::PART_CHARS_MAX;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{ATTACHMENT_BYTES_MAX, Conn};
use waystation::kernel::operation::Operation;
use waystation::kernel::sockets::Socket;
use waystation::kernel::time::Timestamp;
use waystation::signaling::codes::{Code, Identity, KEMS_BYTES_MAX, KEY_BYTES_MAX, PQ_KEY_BYTES_MAX, Partner};
use waystation::signaling::message::Dialect;
use waystation::signaling::pairing::ASKED_MAX;
use waystation::signaling::room::{Link, PARTNERS_MAX, Record, Request, Stage};
use waystation::signaling::wire::attachment::{Kept, Parts, decode, encode, encode_tail};

/// Plays a golden conversation and writes it down as it went: the script's own lines, and what was told after each.
///
/// Shape of a script line: `name + path`, `name > frame`, `name -`, `... ms`; `#` begins a comment.
fn conversation(golden: &str) -> String {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "6")]);
    let mut conn_by_name: BTreeMap<String, Conn> = BTreeMap::new();
    let mut written = String::new();
    let script = golden.lines().filter(|line| !line.contains(" < "));
    for line in script {
        written.push_str(line);
        written.push('\n');
        let line = line.replace("KEY1", KEY).replace("KEY2", OTHER_KEY).replace("CALL1", CALL_ID);
        match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
            [name, "+", path] => {
                let operation = match path {
                    "root" => Operation::SignalRoot,
                    "client" => Operation::SignalClient,
                    _ => Operation::SignalRoom,
                };
                let network = format!("192.0.2.{}", conn_by_name.len() + 1);
                conn_by_name.insert(name.to_owned(), stage.open(&from(operation, &network)));
            }
            [name, ">", frame] => stage.say(conn_by_name[name], frame),
            [name, "-"] => stage.leave(conn_by_name.remove(name).unwrap()),
            ["...", ms] => stage.wait(ms.parse().unwrap()),
            _ => assert!(line.is_empty() || line.starts_with('#'), "what is {line:?}?"),
        }
        for (name, conn) in &conn_by_name {
            for frame in std::mem::take(&mut stage.peers.get_mut(conn).unwrap().inbox) {
                let frame = frame.replace(KEY, "KEY1").replace(OTHER_KEY, "KEY2").replace(CALL_ID, "CALL1");
                written.push_str(&format!("{name} < {frame}\n"));
            }
        }
    }
    written
}

fn must_go_as_written(golden: &str) {
    let went = conversation(golden);
    for (line, expected) in went.lines().zip(golden.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(went, golden);
}

#[test]
fn the_lobby_speaks_exactly_these_bytes() {
    must_go_as_written(include_str!("golden/signaling/lobby.txt"));
}

#[test]
fn a_room_speaks_exactly_these_bytes() {
    must_go_as_written(include_str!("golden/signaling/room.txt"));
}

/// Every kind of frame, well formed.
fn frames() -> Vec<String> {
    let script = concat!(include_str!("golden/signaling/lobby.txt"), include_str!("golden/signaling/room.txt"));
    let said = script.lines().filter_map(|line| line.split_once(" > ")).map(|(_, frame)| frame);
    said.map(|frame| frame.replace("KEY1", KEY).replace("KEY2", OTHER_KEY).replace("CALL1", CALL_ID)).collect()
}

fn damaged() -> impl Strategy<Value = String> {
    let junk = prop::sample::select(vec![
        "\"", "\\", "{", "}", "[", ":", ",", "null", "\\u", "\\ud800", "1e999", "é", "\0", "-",
    ]);
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, prop::option::of(junk)), 1..4);
    (prop::sample::select(frames()), cuts).prop_map(|(frame, cuts)| {
        let mut characters: Vec<char> = frame.chars().collect();
        for (at, length, junk) in cuts {
            let start = at.index(characters.len() + 1);
            let end = (start + length).min(characters.len());
            characters.splice(start..end, junk.unwrap_or_default().chars());
        }
        characters.into_iter().collect()
    })
}

/// An object with our members and any values.
fn odd_object() -> impl Strategy<Value = String> {
    let kinds = vec![
        "register",
        "pair_request",
        "pair_response",
        "pair_accept",
        "offer",
        "ice_candidate",
        "call_offer",
        "call_ice",
        "link_request",
        "link_response",
        "ping",
        "toString",
    ];
    let names = vec![
        "pairingCode",
        "publicKey",
        "pqPublicKey",
        "protocolVersion",
        "supportedKEMs",
        "targetCode",
        "proposedName",
        "accepted",
        "target",
        "targetId",
        "payload",
        "linkCode",
        "deviceName",
        "deviceId",
        "peerId",
        "callId",
        "sdp",
        "candidate",
    ];
    let values = vec![
        "null",
        "true",
        "0",
        "-0.0",
        "1e400",
        "4294967296",
        "\"\"",
        "\"AAAAAA\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[]",
        "[\"x\"]",
        "{}",
        "{\"callId\":null}",
        "\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"",
    ];
    let member = (prop::sample::select(names), prop::sample::select(values));
    (prop::sample::select(kinds), prop::collection::btree_map(0..18_u8, member, 0..8)).prop_map(|(kind, members)| {
        let mut text = format!("{{\"type\":\"{kind}\"");
        for (name, value) in members.values() {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text + "}"
    })
}

/// Says it to a registered peer of each dialect and to a stranger; every answer must be a JSON object with a type.
fn say_to_all(stage: &mut Room, conns: &[Conn], text: &str) {
    for conn in conns {
        stage.say(*conn, text);
        stage.say_binary(*conn, text.as_bytes());
    }
    for conn in conns {
        for frame in stage.inbox(*conn) {
            assert!(frame["type"].is_string(), "{frame} after {text}");
        }
        assert_eq!(stage.closed(*conn), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn damaged_frames_are_answered_and_do_no_harm(
        texts in prop::collection::vec(prop_oneof![damaged(), odd_object(), "\\PC{0,40}", ".{0,20}"], 20),
    ) {
        let mut stage = room(&[]);
        let mut conns = vec![peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"), guest(&mut stage, "CCCCCC")];
        conns.push(stage.open(&from(Operation::SignalClient, "192.0.2.1")));
        for text in &texts {
            say_to_all(&mut stage, &conns, text);
        }
        let last = stage.open(&from(Operation::SignalClient, "192.0.2.1"));
        enrol(&mut stage, last, "ZZZZZZ");
    }
}

fn optional(text: &str) -> Option<Rc<str>> {
    Some(Rc::from(text)).filter(|text: &Rc<str>| !text.is_empty())
}

fn record() -> impl Strategy<Value = Record> {
    let identity = ("\\PC{1,20}", "\\PC{0,20}", "[a-z:]{0,9}", prop::option::of(any::<u32>()), "\\PC{0,9}");
    let request = ("\\PC{1,20}", 0..1_u64 << 53, any::<bool>());
    let link = ("\\PC{1,9}", "\\PC{0,9}", "\\PC{0,9}", 0..1_u64 << 53);
    let lists =
        (prop::collection::vec(request, 0..4), prop::option::of(link), prop::collection::vec(any::<u64>(), 0..4));
    (identity, lists).prop_map(|((code, key, pq, protocol_version, kems), (requests, link, partners))| Record {
        identity: Rc::new(Identity {
            code: Code::from(code.as_str()),
            public_key: Rc::from(key),
            pq_public_key: optional(&pq),
            protocol_version,
            supported_kems: optional(&kems),
        }),
        requests: requests
            .into_iter()
            .map(|(target, at, warned)| Request {
                target: Code::from(target.as_str()),
                asked_at: Timestamp::from_millis(at),
                stage: if warned { Stage::Warned } else { Stage::Fresh },
            })
            .collect(),
        link: link.map(|(device, key, name, at)| Link {
            device: Code::from(device.as_str()),
            public_key: Rc::from(key),
            device_name: Rc::from(name),
            asked_at: Timestamp::from_millis(at),
        }),
        partners: partners.into_iter().map(Partner).collect(),
    })
}

fn socket(free_at_us: u64) -> Socket<Dialect> {
    Socket { dialect: Dialect::Room, network: ClientNetwork::from_header(Some("2001:db88:1111:2222::1")), free_at_us }
}

proptest! {
    #[test]
    fn attachments_give_back_what_was_kept(
        record in prop::option::of(record()),
        free_at_us in any::<u64>(),
        desk in "[ -~]{0,500}",
        porch in "[!-~]{0,200}",
    ) {
        let socket = socket(free_at_us);
        let parts = Parts { desk: &desk, porch: &porch };
        let text = encode(free_at_us, &encode_tail(&socket, parts, record.as_ref()));
        prop_assert_eq!(decode(&text).unwrap(), Kept { socket, parts, record });
    }

    #[test]
    fn a_cut_attachment_is_a_fault_and_no_panic(
        record in record(),
        at in any::<prop::sample::Index>(),
        junk in "\\PC{0,9}",
    ) {
        let text = encode(7, &encode_tail(&socket(7), Parts::default(), Some(&record)));
        let cut: String = text.chars().take(at.index(text.chars().count())).collect();
        // A cut at the end of the socket's part leaves a socket without a record; any other is noticed.
        let is_noticed = decode(&cut).map_or(true, |kept| kept.record.is_none());
        prop_assert!(is_noticed);
        let _ = decode(&junk);
        let _ = decode(&(cut + &junk));
    }
}

#[test]
fn the_largest_attachment_fits_even_in_two_byte_units() {
    let code = Code::from("🛰".repeat(128).as_str());
    let (now, long) = (Timestamp::from_millis((1 << 53) - 1), |bytes: usize| Rc::<str>::from("k".repeat(bytes)));
    let identity = Identity {
        code: code.clone(),
        public_key: long(KEY_BYTES_MAX),
        pq_public_key: Some(long(PQ_KEY_BYTES_MAX)),
        protocol_version: Some(u32::MAX),
        supported_kems: Some(long(KEMS_BYTES_MAX)),
    };
    let request = Request { target: code.clone(), asked_at: now, stage: Stage::Warned };
    let name: Rc<str> = Rc::from("🛰".repeat(128));
    let link = Link { device: code, public_key: long(KEY_BYTES_MAX), device_name: name, asked_at: now };
    let record = Record {
        identity: Rc::new(identity),
        requests: vec![request; ASKED_MAX],
        link: Some(link),
        partners: vec![Partner(u64::MAX); PARTNERS_MAX],
    };
    let (desk, porch) = ("d".repeat(500), "p".repeat(PART_CHARS_MAX));
    let text = encode(u64::MAX, &encode_tail(&socket(0), Parts { desk: &desk, porch: &porch }, Some(&record)));
    let stored = 2 * text.encode_utf16().count();
    assert!(stored <= ATTACHMENT_BYTES_MAX, "{stored} bytes");
    assert!(stored > 15_500, "{stored} bytes: the limits could be wider");
}

#[test]
fn an_attachment_of_the_version_before_is_read_without_a_porch() {
    let pieces = |pieces: &[&str]| pieces.iter().map(|piece| format!("{}:{piece}", piece.len())).collect::<String>();
    let stranger = pieces(&["2", "l", "203.0.113.1", "desk"]);
    let kept = format!("17 {stranger}");
    let Kept { socket, parts, record } = decode(&kept).unwrap();
    assert_eq!((socket.free_at_us, parts, record), (17, Parts { desk: "desk", porch: "" }, None));
    let peer = pieces(&["CODE", "key", "", "", "", "0", "0", "2", "7", "ff"]);
    let record = decode(&format!("17 {stranger}{peer}")).unwrap().record.unwrap();
    assert_eq!((&*record.identity.code, record.partners), ("CODE", vec![Partner(7), Partner(255)]));
    assert!(decode(&kept.replacen("1:2", "1:1", 1)).is_err(), "an older one is not");
}
