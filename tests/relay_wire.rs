//! Frames and attachments: exact bytes, round trips, and what damaged input comes to.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::rc::Rc;

use waystation::kernel::network::ClientNetwork;
use waystation::kernel::sockets::Socket;
use waystation::kernel::time::Timestamp;
use waystation::relay::message::{Dialect, Json, Message, Route};
use waystation::relay::peers::{Peer, Preference};
use waystation::relay::refusal::Refusal;
use waystation::relay::rendezvous::{Found, Match};
use waystation::relay::seats::Seat;
use waystation::relay::wire::attachment::{Parts, decode, decode_part, encode as encode_attachment, encode_part};
use waystation::relay::wire::encode::{self, Origin};
use waystation::relay::wire::parse::{handles, parse};

const OUT: &str = include_str!("golden/relay/out.txt");
const IN: &str = include_str!("golden/relay/in.txt");

fn peer(peer_id: &str, public_key: Option<&str>, connected: u32) -> Peer {
    Peer {
        peer_id: peer_id.into(),
        public_key: public_key.map(Rc::from),
        connections_max: 20,
        connected,
        last_seen: Timestamp::from_millis(1_700_000_000_000),
    }
}

fn everything_that_is_said() -> Vec<String> {
    let (b, c) = (peer("b", None, 0), peer("c", Some("k,1"), 7));
    let found = |peer_id: &str, relay: Option<&str>, dead_drop: &str| Found {
        session: 1,
        peer_id: peer_id.to_owned(),
        relay_id: relay.map(str::to_owned),
        dead_drop: dead_drop.to_owned(),
    };
    let met = |peer_id: &str, relay: Option<&str>| Match {
        peer_id: peer_id.to_owned(),
        relay_id: relay.map(str::to_owned),
        session: 1,
    };
    let matches = [met("b", Some("r\"1")), met("c", None)];
    let drops = [found("b", Some("r"), "x\ny"), found("c", None, "z")];
    let route = Route { routing_hash: Some("h".into()), sequence: Some(4), chunk_index: None };
    let (elder, younger) = (Dialect::Registry, Dialect::Lobby);
    vec![
        encode::pong(),
        encode::registered(elder, "a", &[&b, &c]),
        encode::registered(younger, "a", &[]),
        encode::relays(&[&b]),
        encode::load_updated("a", 7),
        encode::heartbeat_ack(Timestamp::from_millis(1_700_000_000_000)),
        encode::rendezvous_result(elder, &matches, &drops),
        encode::rendezvous_result(younger, &matches, &drops),
        encode::rendezvous_match(elder, "b", Some("r")),
        encode::rendezvous_match(elder, "b", None),
        encode::rendezvous_match(younger, "b", None),
        encode::announce_ack(3),
        encode::chunk_pull("c", None),
        encode::chunk_pull("c", Some("é")),
        encode::chunk_pulling("c"),
        encode::chunk_data("c", None, "{\"x\": 1.0}", Origin::Cache),
        encode::chunk_data("c", Some("ch"), "\"d\"", Origin::Relay),
        encode::push_ack("c", None),
        encode::push_ack("c", Some(("true", 2))),
        encode::chunk_not_found("c"),
        encode::chunk_error("c"),
        encode::route_error(&route),
        encode::chunk_available("ch", ["a", "b\\"]),
        encode::owner_registered("ch"),
        encode::subscribed("ch"),
        encode::upstream_ack("ch", Some(Json("\"m\""))),
        encode::upstream_ack("ch", None),
        encode::stream_started("s", "ch", 2),
        encode::stream_ended("s", "ch"),
        encode::stream_end("s", "ch"),
        encode::error(&Refusal::UnknownType(String::from("x\"y"))),
    ]
}

#[test]
fn every_frame_we_send_is_exactly_as_written_down() {
    let golden: Vec<&str> = OUT.lines().collect();
    let said = everything_that_is_said();
    assert_eq!(said.len(), golden.len());
    for (said, golden) in said.iter().zip(golden) {
        assert_eq!(said, golden);
        assert!(serde_json::from_str::<serde_json::Value>(said).is_ok(), "{said}");
    }
}

#[test]
fn every_frame_that_real_clients_send_is_understood_in_both_dialects() {
    for frame in IN.lines() {
        for dialect in [Dialect::Registry, Dialect::Lobby] {
            let message = parse(dialect, frame).unwrap_or_else(|refusal| panic!("{refusal:?}: {frame}"));
            let kind = frame.split('"').nth(3).unwrap();
            let is_shared = matches!(message, Message::Ping | Message::Register { .. });
            assert_eq!(handles(kind), !is_shared, "{kind}");
        }
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    for frame in IN.lines() {
        for end in 0..frame.len() {
            let cut = frame.split_at(end).0;
            assert_eq!(parse(Dialect::Lobby, cut), Err(Refusal::NotJson), "{cut}");
        }
    }
}

#[test]
fn a_frame_with_one_byte_changed_is_understood_or_refused_but_never_more() {
    let mut refused = 0;
    for frame in IN.lines() {
        for at in 0..frame.len() {
            for byte in [b'"', b'0', b'}', b'[', b'\\', b' '] {
                let mut bytes = frame.as_bytes().to_vec();
                bytes[at] = byte;
                refused += usize::from(parse(Dialect::Registry, std::str::from_utf8(&bytes).unwrap()).is_err());
            }
        }
    }
    assert!(refused > 1_000);
}

#[test]
fn members_are_borrowed_and_read_as_they_are_meant() {
    let frame = r#"{"type":"get_relays","peerId":"a","count":7.9,"prefer":"balanced"}"#;
    let Ok(Message::GetRelays { peer_id, count, preference }) = parse(Dialect::Registry, frame) else { panic!() };
    assert!(matches!(peer_id, Some(std::borrow::Cow::Borrowed("a"))));
    assert_eq!((count, preference), (7, Preference::Balanced));
    let frame = r#"{"type":"chunk_push","chunkId":"c\u0041","data": [1, 2]}"#;
    let Ok(Message::ChunkPush { chunk_id, data, .. }) = parse(Dialect::Registry, frame) else { panic!() };
    assert_eq!((&*chunk_id, data), ("cA", Json("[1, 2]")));
    let frame = r#"{"type":"upstream-message","channelId":"c","message":{"id":5}}"#;
    let Ok(Message::Upstream { message_id, frame: all, .. }) = parse(Dialect::Lobby, frame) else { panic!() };
    assert_eq!((message_id, all), (Some(Json("5")), frame));
}

#[test]
fn a_duplicate_member_is_refused_because_readers_differ_about_which_counts() {
    let frame = r#"{"type":"chunk_request","peerId":"a","peerId":"b","chunkId":"c"}"#;
    assert_eq!(parse(Dialect::Registry, frame), Err(Refusal::NotJson));
}

#[test]
fn attachments_come_back_as_they_were() {
    for peer_id in [None, Some(Rc::from("p"))] {
        for (relay, id) in
            [(None, ""), (Some(peer("other", None, 3)), "other"), (Some(peer("p", Some("a,b c"), 0)), "p")]
        {
            let seat = Seat {
                session: (1 << 52) - 1,
                dialect: Dialect::Lobby,
                peer_id: peer_id.clone(),
                upstream_free_at_us: 17,
            };
            let part = encode_part(&seat, relay.as_ref());
            assert_eq!(decode_part(&part), Ok((seat, relay)), "{id}: {part}");
            for network in ["203.0.113.9", "2001:db8:1:2::1", "nonsense"] {
                let network = ClientNetwork::from_header(Some(network));
                let socket = Socket { dialect: (), network, free_at_us: 1_800_000_000_000_000 };
                for porch in ["", "1800000000000,device,1,1800000000001"] {
                    let parts = Parts { porch, desk: &part };
                    assert_eq!(decode(&encode_attachment(&socket, parts)), Ok((socket.clone(), parts)));
                }
                let older = format!("{} {} {part}", socket.free_at_us, socket.network.as_str());
                assert_eq!(decode(&older), Ok((socket, Parts { porch: "", desk: &part })));
            }
        }
    }
}

#[test]
fn a_damaged_attachment_is_a_fault_and_not_a_guess() {
    for text in ["", "1", "2,5,r,0,", "1,x,r,0,", "1,5,q,0,", "1,5,r,x,", "1,5,r,0,,,20,0,1,", "1,5,r,0,p,,20,0"] {
        assert!(decode_part(text).is_err(), "{text}");
    }
    for text in ["", "5", "5 203.0.113.9", "x 203.0.113.9 ", "v2 5 203.0.113.9 ", "v3 5 203.0.113.9  "] {
        assert!(decode(text).is_err(), "{text}");
    }
}
