//! The desk's part in relay peers and rendezvous.

use std::rc::Rc;

use super::desk::{Event, RelayDesk, Stop};
use crate::relay::message::Dialect;
use crate::relay::peers::{COUNT_DEFAULT, Peer, Preference};
use crate::relay::refusal::Refusal;
use crate::relay::rendezvous::{ANSWERS_MAX, Match, Registration, STORED_MAX, blind, each_peer_once};
use crate::relay::seats::Speaker;
use crate::relay::store::rendezvous::{self as store, Depositor};
use crate::relay::wire::encode;

/// Rows that are looked at for live matches; the gone among them count.
const MATCHES_READ_MAX: usize = 1_000;

impl RelayDesk {
    pub(super) fn register(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (peer_id, connections_max, public_key): (&str, u32, Option<&str>),
    ) -> Result<(), Stop> {
        let own = self.seats.get(speaker.conn).and_then(|seat| seat.peer_id.as_deref());
        if own.is_some_and(|own| own != peer_id && speaker.code != Some(peer_id)) {
            return Err(Refusal::OtherPeerId.into());
        }
        self.seats.check_claim(speaker, peer_id)?;
        self.seat(event, speaker, Some(peer_id));
        let peer = Peer {
            peer_id: Rc::from(peer_id),
            public_key: public_key.map(Rc::from),
            connections_max,
            connected: 0,
            last_seen: event.now,
        };
        self.peers.register(speaker.conn, peer);
        let except = Some(speaker.conn);
        let relays = self.peers.choose((event.now, &mut *event.entropy), except, COUNT_DEFAULT, Preference::Shuffled);
        event.work.tell(speaker.conn, encode::registered(speaker.dialect, peer_id, &relays));
        Ok(())
    }

    /// A load is only its owner's to report. Whoever reports another's is answered as the first server did, which
    /// answered everybody, or not at all, as the others did.
    pub(super) fn update_load(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        peer_id: Option<&str>,
        connected: u32,
    ) {
        let own = self.peers.get(speaker.conn).map(|peer| peer.peer_id.clone());
        let is_own = own.is_some() && (peer_id.is_none() || peer_id == own.as_deref());
        if is_own {
            self.peers.load(speaker.conn, connected);
        }
        let told = if is_own || speaker.dialect == Dialect::Registry { peer_id.or(own.as_deref()) } else { None };
        if let Some(peer_id) = told {
            event.work.tell(speaker.conn, encode::load_updated(peer_id, connected));
        }
    }

    pub(super) fn get_relays(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        peer_id: Option<&str>,
        (count, preference): (usize, Preference),
    ) -> Result<(), Stop> {
        if peer_id.is_none() && speaker.dialect == Dialect::Lobby && self.check_identity(speaker, None).is_err() {
            return Err(Refusal::Missing("Missing required field: peerId").into());
        }
        let except = peer_id.and_then(|peer_id| self.seats.conn_of(peer_id)).unwrap_or(speaker.conn);
        let relays = self.peers.choose((event.now, &mut *event.entropy), Some(except), count, preference);
        event.work.tell(speaker.conn, encode::relays(&relays));
        Ok(())
    }

    pub(super) fn heartbeat(&self, event: &mut Event<'_>, speaker: &Speaker<'_>, peer_id: &str) {
        let is_own = self.peers.get(speaker.conn).is_some_and(|peer| &*peer.peer_id == peer_id);
        if is_own || speaker.dialect == Dialect::Registry {
            event.work.tell(speaker.conn, encode::heartbeat_ack(event.now));
        }
    }

    pub(super) fn rendezvous(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        registration: &Registration<'_>,
    ) -> Result<(), Stop> {
        let Registration { peer_id, relay_id, points, tokens } = registration;
        self.seats.check_claim(speaker, peer_id)?;
        let first_point = self.points.check(points.len(), STORED_MAX, "meeting points")?;
        let first_token = self.tokens.check(tokens.len(), STORED_MAX, "live tokens")?;
        let charge = self.charge(event, speaker.network, registration.entries())?;
        let blind_points: Vec<(String, &str)> =
            points.iter().map(|point| (blind(&point.name), point.dead_drop.as_ref())).collect();
        let asked: Vec<String> = blind_points.iter().map(|(point, _)| point.clone()).collect();
        let blind_tokens: Vec<String> = tokens.iter().map(|token| blind(token)).collect();
        let mut drops = store::read_drops(event.sql, (&asked, peer_id), event.now, ANSWERS_MAX)?;
        if !self.settings.keep_dead_drops.is_on() {
            // A connection that ended without a word left its rows behind.
            drops.retain(|found| self.seats.conn(found.session).is_some());
        }
        let matches = store::read_matches(event.sql, (&blind_tokens, peer_id), event.now, MATCHES_READ_MAX)?;
        let connected = matches.into_iter().filter(|found| self.seats.conn(found.session).is_some()).collect();
        let matches = each_peer_once(connected);

        let session = self.seat(event, speaker, Some(peer_id));
        let who = Depositor { peer_id, session, relay_id: relay_id.as_deref() };
        event.work.statements.extend(charge);
        if !points.is_empty() {
            let expires_at = event.now.plus(self.settings.rendezvous_daily_ttl_ms);
            event.work.statements.push(store::put_points(first_point, &blind_points, who, expires_at)?);
            self.points.take(points.len());
        }
        if !tokens.is_empty() {
            let expires_at = event.now.plus(self.settings.rendezvous_hourly_ttl_ms);
            event.work.statements.push(store::put_tokens(first_token, &blind_tokens, who, expires_at)?);
            self.tokens.take(tokens.len());
        }
        event.work.tell(speaker.conn, encode::rendezvous_result(speaker.dialect, &matches, &drops));
        self.tell_matched(event, speaker, who, &matches);
        Ok(())
    }

    /// Tells the peers that were met, each in its own dialect.
    fn tell_matched(&self, event: &mut Event<'_>, speaker: &Speaker<'_>, who: Depositor<'_>, matches: &[Match]) {
        for dialect in [Dialect::Registry, Dialect::Lobby] {
            let conns = matches
                .iter()
                .filter_map(|found| self.seats.conn(found.session))
                .filter(|conn| *conn != speaker.conn)
                .filter(|conn| self.seats.get(*conn).is_some_and(|seat| seat.dialect == dialect))
                .collect::<Vec<_>>();
            if !conns.is_empty() {
                event.work.tell_many(conns, encode::rendezvous_match(dialect, who.peer_id, who.relay_id));
            }
        }
    }
}
