//! Notifications: accepted, written down, sent, and answered when every device has its verdict or the time is up.

use std::collections::BTreeSet;

use super::courier::{Batch, Draft, Report};
use super::learn::{Halt, Learned};
use super::{Done, RemoteServer, dress, permit};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::push::count::Own;
use crate::push::device::{Device, TokenHash, User, canonical, deduplicate, gone};
use crate::push::permission::Permission;
use crate::push::provider::Kind;
use crate::push::queue::Path;
use crate::push::refusal::Refusal;
use crate::push::store;
use crate::push::wire::answer::{self, Gone, Tally};
use crate::push::wire::form::Form;
use crate::push::wire::parcel::Parcel;
use crate::push::wire::send::{Believed, SealedTarget, parse_notification, parse_sealed_notification, parse_trial};

/// What a request makes to be written and sent.
struct Load {
    batch: Vec<Statement>,
    drafts: Vec<Draft>,
    /// The organization that made it.
    realm: Option<i64>,
}

/// What an answer to `push/notify` is made of.
pub(super) struct LegacyReport {
    user: User,
    believed: Believed,
    tally: Tally,
    realm: Option<Permission>,
}

/// What an answer to `push/e2ee/notify` is made of.
pub(super) struct SealedReport {
    asked: Vec<SealedTarget>,
    gone: Vec<SealedTarget>,
    target_of: Vec<(i64, SealedTarget)>,
    realm: Permission,
}

impl RemoteServer {
    pub(super) fn notify(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Done, Halt> {
        let now = turn.now;
        let wish = parse_notification(call)?;
        let realm = self.optional_realm(turn, wish.realm.as_ref(), learned)?;
        let ours = wish.realm.as_ref().filter(|_| realm.is_some());
        let permission = self.permitted(turn.sql, now, ours, permit::Path::Legacy)?;
        let devices = deduplicate(store::device::of_user(turn.sql, &wish.user)?);
        let mut batch: Vec<Statement> = Vec::new();
        batch.extend(devices.surplus.iter().map(|device_id| store::device::remove(*device_id)));
        if !devices.surplus.is_empty() {
            batch.push(store::device::add(-i64::try_from(devices.surplus.len()).unwrap_or(0), 0));
        }
        if let Some(realm) = realm {
            let unlinked = devices.kept.iter().filter(|device| device.realm.is_none());
            batch.extend(unlinked.map(|device| store::device::link(device.device_id, realm)));
        }
        let of = |kind: Kind| devices.kept.iter().filter(move |device| device.token.kind == kind);
        let tally = Tally {
            android: of(Kind::Fcm).count() as u64,
            apple: of(Kind::Apns).count() as u64,
            web: of(Kind::WebPush).count() as u64,
        };
        let received = tally.android + tally.apple + tally.web;
        let counted = std::iter::once(store::counts::SERVER).chain(realm);
        batch.extend(counted.filter_map(|realm_id| store::counts::add(realm_id, Own::Received, received, now)));
        let mut drafts = Vec::new();
        for kind in [Kind::Fcm, Kind::Apns, Kind::WebPush] {
            if of(kind).next().is_some() && self.courier.carries(kind) {
                let parcel = wish.parcel(kind, now).map_err(Refusal::Legacy)?;
                drafts.extend(of(kind).map(|device| draft(device, realm, &parcel)));
            }
        }
        let report = LegacyReport { user: wish.user, believed: wish.believed, tally, realm: realm.map(|_| permission) };
        self.send_off(turn, call, learned, Load { batch, drafts, realm }, Report::Legacy(Box::new(report)))
    }

    pub(super) fn try_out(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Done, Halt> {
        let wish = parse_trial(call)?;
        let realm = self.optional_realm(turn, wish.realm.as_ref(), learned)?;
        let hash = TokenHash::of(wish.token.kind, &wish.token.token);
        let rows = store::device::of_user_and_token(turn.sql, &wish.user, hash)?;
        let Some(device) = rows.first() else { return Err(Refusal::UnknownDevice.into()) };
        let drafts = if self.courier.carries(device.token.kind) {
            vec![draft(device, realm, &wish.parcel(turn.now)?)]
        } else {
            Vec::new()
        };
        self.send_off(turn, call, learned, Load { batch: Vec::new(), drafts, realm: None }, Report::Trial)
    }

    pub(super) fn notify_sealed(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Done, Halt> {
        let wish = parse_sealed_notification(call)?;
        let realm = self.required_realm(turn, &wish.realm, learned)?;
        let permission = self.permitted(turn.sql, turn.now, Some(&wish.realm), permit::Path::Sealed)?;
        let received = wish.requests.len() as u64;
        let batch = store::counts::add(realm, Own::Received, received, turn.now).into_iter().collect();
        let mut drafts = Vec::new();
        let mut report = SealedReport { asked: Vec::new(), gone: Vec::new(), target_of: Vec::new(), realm: permission };
        for (index, request) in wish.requests.iter().enumerate() {
            report.asked.push(request.target);
            let device = match request.target {
                SealedTarget::Token(token_id) => store::sealed::by_token(turn.sql, realm, token_id)?,
                SealedTarget::Device(device_id) => store::sealed::by_device(turn.sql, realm, device_id)?,
            };
            let Some(device) = device.filter(|device| device.expired_at.is_none()) else {
                report.gone.push(request.target);
                continue;
            };
            if device.token.kind != request.parcel.kind() {
                let place = crate::push::refusal::Place::of("request").key("push_requests").index(index);
                return Err(Refusal::KindMismatch { place }.into());
            }
            report.target_of.push((device.device_id, request.target));
            if self.courier.carries(device.token.kind) {
                drafts.push(Draft {
                    path: Path::Sealed,
                    realm: Some(realm),
                    device_id: device.device_id,
                    token: device.token,
                    registered_at: device.registered_at,
                    parcel: request.parcel.clone(),
                });
            }
        }
        let load = Load { batch, drafts, realm: Some(realm) };
        self.send_off(turn, call, learned, load, Report::Sealed(Box::new(report)))
    }

    /// Writes everything down, sends what may be sent at once, and puts the answer off unless there is nothing to wait for.
    fn send_off(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
        load: Load,
        report: Report,
    ) -> Result<Done, Halt> {
        let Load { mut batch, drafts, realm } = load;
        batch.extend(self.see_realm(realm, turn.now));
        let ticket = self.ticket();
        let deliveries = self.courier.accept(turn.sql, turn.now, drafts, &mut batch)?;
        let ignored = Form::of(call).ignored(&[]);
        let standing = learned.standing.flatten();
        self.courier.batches.insert(ticket, Batch::new(deliveries, report, ignored, standing, turn.now));
        let mut batch = self.touched(batch, turn.now);
        self.pump(turn, &mut batch)?;
        self.commit(turn, batch)?;
        self.note_realm(realm, turn.now);
        // Nothing to send, or a provider that is left alone for now.
        if self.courier.batches.get(&ticket).is_some_and(Batch::is_done)
            && let Some(batch) = self.courier.batches.remove(&ticket)
        {
            return Ok(Done::Reply(self.report(turn.sql, &batch)?));
        }
        Ok(Done::Underway(ticket))
    }

    /// Answers the calls whose devices have all been judged, or whose time is up.
    pub(super) fn answer_ripe(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        for ticket in self.courier.ripe(turn.now) {
            if let Some(batch) = self.courier.batches.remove(&ticket) {
                let reply = self.report(turn.sql, &batch)?;
                turn.answer(ticket, dress(reply, batch.standing, turn.now));
            }
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn report(&self, sql: &dyn Sql, batch: &Batch) -> Result<Reply, Fault> {
        Ok(match &batch.report {
            Report::Trial => answer::plain(&batch.ignored),
            Report::Legacy(report) => {
                let gone = gone_now(sql, report)?;
                answer::notified(&report.tally, gone, report.realm.as_ref(), &batch.ignored)
            }
            Report::Sealed(report) => {
                let mut gone = report.gone.clone();
                let died = report.target_of.iter().filter(|(device_id, _)| batch.dead.contains(device_id));
                gone.extend(died.map(|(_, target)| *target));
                gone.sort_unstable();
                gone.dedup();
                answer::sealed_notified(&batch.sent, &report.asked, &gone, &report.realm, &batch.ignored)
            }
        })
    }
}

fn draft(device: &Device, realm: Option<i64>, parcel: &Parcel) -> Draft {
    Draft {
        path: Path::Legacy,
        realm,
        device_id: device.device_id,
        token: device.token.clone(),
        registered_at: device.registered_at,
        parcel: parcel.clone(),
    }
}

/// The tokens that the server believes in and that are not here, at the time of the answer.
fn gone_now(sql: &dyn Sql, report: &LegacyReport) -> Result<Gone, Fault> {
    let devices = store::device::of_user(sql, &report.user)?;
    let held = |kind: Kind| -> BTreeSet<String> {
        let of_kind = devices.iter().filter(|device| device.token.kind == kind);
        of_kind.map(|device| canonical(kind, &device.token.token)).collect()
    };
    Ok(Gone {
        android: gone(Kind::Fcm, &report.believed.android, &held(Kind::Fcm)),
        apple: gone(Kind::Apns, &report.believed.apple, &held(Kind::Apns)),
        web: report.believed.web.as_ref().map(|web| gone(Kind::WebPush, web, &held(Kind::WebPush))),
    })
}
