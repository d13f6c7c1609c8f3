//! The delivery engine: what waits, what is under way, with whose authority, and who waits for the verdicts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::notify::{LegacyReport, SealedReport};
use super::{RemoteServer, UnderWay};
use crate::kernel::errand::{Errand, Fetch, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::Turn;
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::device::{Token, TokenHash};
use crate::push::provider::apns::Holder;
use crate::push::provider::breaker::{Admission, Breaker, Health};
use crate::push::provider::retry::COURSE_MS_MAX;
use crate::push::provider::web::{Places, Sender, VapidToken, admit};
use crate::push::provider::{Kind, RetryBase, Verdict, apns, fcm};
use crate::push::queue::{BUDGET_MS, Delivery, Fate, LEASE_MS, PARALLEL_MAX, Path, WAITING_MAX, decide_fate};
use crate::push::rate::Standing;
use crate::push::refusal::Refusal;
use crate::push::sealed::RegistrationKeys;
use crate::push::store;
use crate::push::wire::answer::Tally;
use crate::push::wire::parcel::{Parcel, encode_parcel, parse_parcel};
use crate::push::wire::provider as wire;

/// Deliveries in memory that wait for a free place; the others wait in their rows.
const WAITING_IN_MEMORY_MAX: usize = 128;

/// How soon the alarm looks again when it could take no more.
const LOOK_AGAIN_MS: u64 = 1_000;

/// VAPID tokens in memory, one per push service.
const VAPID_MAX: usize = 16;

/// A notification for one device, before it is written down.
pub(super) struct Draft {
    pub(super) path: Path,
    /// The organization of the request.
    pub(super) realm: Option<i64>,
    pub(super) device_id: i64,
    pub(super) token: Token,
    pub(super) registered_at: Timestamp,
    pub(super) parcel: Parcel,
}

/// What a caller is told in the end.
pub(super) enum Report {
    Legacy(Box<LegacyReport>),
    Trial,
    Sealed(Box<SealedReport>),
}

/// A call that waits for the verdicts on its deliveries.
pub(super) struct Batch {
    outstanding: BTreeSet<i64>,
    answer_by: Timestamp,
    pub(super) sent: Tally,
    /// Rows of devices that turned out dead.
    pub(super) dead: BTreeSet<i64>,
    pub(super) report: Report,
    pub(super) ignored: Vec<String>,
    pub(super) standing: Option<Standing>,
}

impl Batch {
    pub(super) fn new(
        deliveries: Vec<i64>,
        report: Report,
        ignored: Vec<String>,
        standing: Option<Standing>,
        now: Timestamp,
    ) -> Self {
        let outstanding = deliveries.into_iter().collect();
        let (sent, dead) = (Tally::default(), BTreeSet::new());
        Self { outstanding, answer_by: now.plus(BUDGET_MS), sent, dead, report, ignored, standing }
    }

    pub(super) fn is_done(&self) -> bool {
        self.outstanding.is_empty()
    }
}

/// A delivery in memory, and whether it has had new credentials already.
struct Waiting {
    delivery: Delivery,
    renewal: Renewal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    Possible,
    Tried,
}

struct Flight {
    waiting: Waiting,
    admission: Admission,
    asked_at: Timestamp,
    ticket: Ticket,
    /// Which of Google's access tokens it went with.
    access: u32,
}

/// Google's access token.
enum Access {
    None,
    Coming(Timestamp),
    Here(fcm::Access),
}

/// What becomes of a delivery that is taken up.
enum Launch {
    Send(Box<Fetch>),
    /// The provider is left alone until then.
    PutOff(Timestamp),
    /// It cannot be sent at all.
    Drop,
}

fn sender(settings: &Settings) -> Option<Sender> {
    let vapid = settings.push.vapid.as_ref()?;
    Sender::parse(&URL_SAFE_NO_PAD.encode(vapid.private.0), &vapid.subject)
}

/// What clients need to subscribe to Web Push: base64url of the public key.
pub(in crate::push) fn vapid_public_key(settings: &Settings) -> Option<String> {
    sender(settings).map(|sender| sender.key.public_base64url())
}

/// The delivery engine's memory.
pub(super) struct Courier {
    pub(super) registration_keys: RegistrationKeys,
    account: Option<fcm::ServiceAccount>,
    token_url: String,
    fcm_base: String,
    access: Access,
    /// How many access tokens there were.
    accesses: u32,
    signer: Option<apns::Signer>,
    gateway: Option<apns::Gateway>,
    provider_token: Option<apns::ProviderToken>,
    sender: Option<Sender>,
    vapid: Vec<VapidToken>,
    breakers: BTreeMap<Kind, Breaker>,
    next_id: i64,
    waiting: VecDeque<Waiting>,
    flights: BTreeMap<i64, Flight>,
    pub(super) batches: BTreeMap<Ticket, Batch>,
    due: Option<Timestamp>,
}

impl Courier {
    pub(super) fn new(settings: &Settings, next_id: i64) -> Self {
        let push = &settings.push;
        let pairs = push.registration_keys.iter().filter_map(|key| {
            let public: [u8; 32] = crate::kernel::keys::parse_base64(&key.public)?.try_into().ok()?;
            Some((public, key.private.0))
        });
        let account = push.fcm.as_ref().map(|account| fcm::ServiceAccount {
            project_id: account.project_id.clone(),
            client_email: account.client_email.clone(),
            private_key: account.private_key.clone(),
            private_key_id: account.private_key_id.clone(),
            token_url: account.token_uri.clone().unwrap_or_else(|| fcm::TOKEN_URL.to_owned()),
        });
        let own_url = account.as_ref().map(|account| account.token_url.clone()).unwrap_or_default();
        let key = push.apns.as_ref();
        Self {
            registration_keys: RegistrationKeys::new(pairs.collect()).unwrap_or_default(),
            account,
            token_url: push.fcm_token_url.clone().unwrap_or(own_url),
            fcm_base: push.fcm_base_url.clone(),
            access: Access::None,
            accesses: 0,
            signer: key.and_then(|key| apns::Signer::parse(key.p8.reveal(), &key.key_id, &key.team_id)),
            gateway: apns::Gateway::parse(&push.apns_base_url),
            provider_token: None,
            sender: sender(settings),
            vapid: Vec::new(),
            breakers: BTreeMap::new(),
            next_id,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            batches: BTreeMap::new(),
            due: None,
        }
    }

    /// Whether a kind of device can be sent to at all.
    pub(super) const fn carries(&self, kind: Kind) -> bool {
        match kind {
            Kind::Fcm => self.account.is_some(),
            Kind::Apns => self.signer.is_some() && self.gateway.is_some(),
            Kind::WebPush => self.sender.is_some(),
        }
    }

    /// Writes deliveries down and lets them wait. What no provider would take is left out.
    ///
    /// Errors: [`Refusal::QueueFull`].
    pub(super) fn accept(
        &mut self,
        sql: &dyn Sql,
        now: Timestamp,
        drafts: Vec<Draft>,
        batch: &mut Vec<Statement>,
    ) -> Result<Vec<i64>, super::Halt> {
        let kept = store::queue::count_deliveries(sql, WAITING_MAX)?;
        if kept + drafts.len() as u64 > WAITING_MAX {
            return Err(Refusal::QueueFull.into());
        }
        let mut ids = Vec::new();
        for draft in drafts {
            let is_addressed = draft.token.kind != Kind::Apns || draft.token.app_id.is_some();
            if !draft.parcel.fits() || !is_addressed {
                continue;
            }
            let delivery = Delivery {
                delivery_id: self.next_id,
                path: draft.path,
                realm: draft.realm,
                device_id: draft.device_id,
                token: draft.token,
                registered_at: draft.registered_at,
                parcel: encode_parcel(&draft.parcel)?,
                begun_at: now,
                attempts: 0,
            };
            self.next_id += 1;
            ids.push(delivery.delivery_id);
            if self.waiting.len() < WAITING_IN_MEMORY_MAX {
                let delivery = Delivery { attempts: 1, ..delivery };
                batch.push(store::queue::put_delivery(&delivery, now.plus(LEASE_MS)));
                self.waiting.push_back(Waiting { delivery, renewal: Renewal::Possible });
            } else {
                batch.push(store::queue::put_delivery(&delivery, now));
            }
        }
        Ok(ids)
    }

    pub(super) fn refresh(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        let due = store::queue::next_delivery(sql)?;
        let is_full = self.waiting.len() >= WAITING_IN_MEMORY_MAX;
        self.due = due.map(|due| if is_full { due.max(now.plus(LOOK_AGAIN_MS)) } else { due });
        Ok(())
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let answer = self.batches.values().map(|batch| batch.answer_by).min();
        [self.due, answer].into_iter().flatten().min()
    }

    pub(super) fn ripe(&self, now: Timestamp) -> Vec<Ticket> {
        let is_ripe = |batch: &Batch| batch.is_done() || batch.answer_by <= now;
        self.batches.iter().filter(|(_, batch)| is_ripe(batch)).map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn rename(&mut self, later: Ticket, ticket: Ticket) {
        if let Some(batch) = self.batches.remove(&later) {
            self.batches.insert(ticket, batch);
        }
    }

    /// Whether Google's notifications wait for an access token. Without an account there is nothing to wait for.
    fn wants_access(&self, now: Timestamp) -> bool {
        self.account.is_some() && !matches!(&self.access, Access::Here(access) if access.is_usable(now))
    }

    fn holds(&self, delivery_id: i64) -> bool {
        self.flights.contains_key(&delivery_id)
            || self.waiting.iter().any(|waiting| waiting.delivery.delivery_id == delivery_id)
    }

    /// Whether a delivery is a test, which is not counted.
    fn is_trial(&self, delivery_id: i64) -> bool {
        let is_trial =
            |batch: &Batch| matches!(batch.report, Report::Trial) && batch.outstanding.contains(&delivery_id);
        self.batches.values().any(is_trial)
    }

    /// Tells whoever waits what became of a delivery.
    fn settle(&mut self, delivery: &Delivery, fate: Fate) {
        for batch in self.batches.values_mut() {
            if !batch.outstanding.remove(&delivery.delivery_id) {
                continue;
            }
            match (fate, delivery.token.kind) {
                (Fate::Sent, Kind::Fcm) => batch.sent.android += 1,
                (Fate::Sent, Kind::Apns) => batch.sent.apple += 1,
                (Fate::Sent, Kind::WebPush) => batch.sent.web += 1,
                (Fate::Dead(_), _) => {
                    batch.dead.insert(delivery.device_id);
                }
                (Fate::Again(_) | Fate::Dropped, _) => {}
            }
        }
    }

    /// The request for a delivery, or why there is none now.
    fn launch(&mut self, turn: &mut Turn<'_>, delivery: &Delivery, places: &Places) -> Result<Launch, Fault> {
        let now = turn.now;
        Ok(match parse_parcel(&delivery.parcel)? {
            Parcel::Fcm(notice) => {
                let (Some(account), Access::Here(access)) = (&self.account, &self.access) else {
                    return Ok(Launch::Drop);
                };
                let token = &delivery.token.token;
                Launch::Send(Box::new(wire::fcm::send(&self.fcm_base, account, access, token, &notice)))
            }
            Parcel::Apns(notice) => {
                let (Some(signer), Some(gateway), Some(topic)) = (&self.signer, &self.gateway, &delivery.token.app_id)
                else {
                    return Ok(Launch::Drop);
                };
                let usable = self.provider_token.take().filter(|token| token.is_usable(now));
                let token = usable.unwrap_or_else(|| wire::apns::provider_token(signer, Holder::All, now));
                let fetch = wire::apns::send(gateway, &token, topic, &delivery.token.token, &notice);
                self.provider_token = Some(token);
                Launch::Send(Box::new(fetch))
            }
            Parcel::Web(notice) => {
                let subscription = wire::web::parse_subscription(&delivery.token.token);
                let (Some(sender), Some(subscription)) = (&self.sender, subscription) else { return Ok(Launch::Drop) };
                let Ok(endpoint) = admit(&subscription.endpoint, places) else { return Ok(Launch::Drop) };
                let known = self.vapid.iter().find(|token| token.is_usable(&endpoint, now)).cloned();
                let token = known.unwrap_or_else(|| {
                    let token = wire::web::vapid_token(sender, &endpoint, now);
                    self.vapid.retain(|known| known.audience != token.audience);
                    self.vapid.truncate(VAPID_MAX - 1);
                    self.vapid.push(token.clone());
                    token
                });
                match wire::web::send(&subscription, &endpoint, &token, &notice, turn.entropy) {
                    Ok(fetch) => Launch::Send(Box::new(fetch)),
                    Err(_) => Launch::Drop,
                }
            }
        })
    }
}

impl RemoteServer {
    /// Sends what waits, as far as there is room.
    pub(super) fn pump(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let now = turn.now;
        let places = self.places();
        let mut held = VecDeque::new();
        while self.courier.flights.len() < PARALLEL_MAX {
            let Some(waiting) = self.courier.waiting.pop_front() else { break };
            let kind = waiting.delivery.token.kind;
            if kind == Kind::Fcm && self.courier.wants_access(now) {
                self.fetch_access(turn);
                held.push_back(waiting);
                continue;
            }
            let launch = match self.courier.breakers.entry(kind).or_default().admit(now) {
                Admission::Wait { until } => (Launch::PutOff(until), Admission::Wait { until }),
                admission => (self.courier.launch(turn, &waiting.delivery, &places)?, admission),
            };
            match launch {
                (Launch::Drop, _) => self.end(turn, &waiting.delivery, Fate::Dropped, now, batch)?,
                (Launch::PutOff(until), _) => {
                    // Not a try: the alarm will count it when it is one.
                    let delivery =
                        Delivery { attempts: waiting.delivery.attempts.saturating_sub(1), ..waiting.delivery };
                    self.end(turn, &delivery, Fate::Again(until), now, batch)?;
                }
                (Launch::Send(fetch), admission) => {
                    let ticket = self.ticket();
                    let delivery_id = waiting.delivery.delivery_id;
                    turn.ask(ticket, Errand::Fetch(fetch));
                    self.under_way.insert(ticket, UnderWay::Send(delivery_id));
                    let access = self.courier.accesses;
                    let flight = Flight { waiting, admission, asked_at: now, ticket, access };
                    self.courier.flights.insert(delivery_id, flight);
                }
            }
        }
        held.append(&mut self.courier.waiting);
        self.courier.waiting = held;
        Ok(())
    }

    /// Gets an access token, unless one is coming.
    fn fetch_access(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.courier.access, Access::Coming(since) if turn.now.since(since) < LEASE_MS) {
            return;
        }
        let Some(account) = &self.courier.account else { return };
        let input = wire::fcm::assertion_input(account, turn.now);
        let errand = wire::fcm::sign(account, &input);
        let ticket = self.ticket();
        turn.ask(ticket, errand);
        self.under_way.insert(ticket, UnderWay::Sign(input));
        self.courier.access = Access::Coming(turn.now);
    }

    pub(super) fn sign_told(&mut self, turn: &mut Turn<'_>, input: &str, outcome: &Outcome) -> Result<(), Fault> {
        let Outcome::Signed(signature) = outcome else {
            // The key is none, or the platform is not well: either way the notifications wait.
            return self.access_failed(turn, Verdict::Retry { after_ms: None, base: RetryBase::Server });
        };
        let fetch = wire::fcm::token_request(&self.courier.token_url, input, signature);
        let ticket = self.ticket();
        turn.ask(ticket, Errand::Fetch(Box::new(fetch)));
        self.under_way.insert(ticket, UnderWay::Access);
        Ok(())
    }

    pub(super) fn access_told(&mut self, turn: &mut Turn<'_>, outcome: &Outcome) -> Result<(), Fault> {
        match wire::fcm::parse_access(outcome, turn.now) {
            // A token that is over at once would be fetched for ever.
            Ok(access) if access.is_usable(turn.now) => {
                self.courier.access = Access::Here(access);
                self.courier.accesses = self.courier.accesses.wrapping_add(1);
                let mut batch = Vec::new();
                self.pump(turn, &mut batch)?;
                self.commit(turn, batch)?;
                self.answer_ripe(turn)
            }
            Err(verdict @ Verdict::Retry { .. }) => self.access_failed(turn, verdict),
            Ok(_) | Err(_) => self.access_failed(turn, Verdict::Retry { after_ms: None, base: RetryBase::Server }),
        }
    }

    /// Without an access token Google's notifications wait for another try.
    fn access_failed(&mut self, turn: &mut Turn<'_>, verdict: Verdict) -> Result<(), Fault> {
        let now = turn.now;
        self.courier.access = Access::None;
        self.courier.breakers.entry(Kind::Fcm).or_default().record(now, Admission::Probe, Health::from(verdict));
        let (stranded, others) =
            std::mem::take(&mut self.courier.waiting).into_iter().partition(|w| w.delivery.token.kind == Kind::Fcm);
        self.courier.waiting = others;
        let stranded: VecDeque<Waiting> = stranded;
        let mut batch = Vec::new();
        for waiting in stranded {
            let fate = decide_fate(now, &waiting.delivery, verdict, turn.entropy);
            self.end(turn, &waiting.delivery, fate, now, &mut batch)?;
        }
        self.commit(turn, batch)?;
        self.answer_ripe(turn)
    }

    pub(super) fn send_told(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        delivery_id: i64,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let now = turn.now;
        let is_current = self.courier.flights.get(&delivery_id).is_some_and(|flight| flight.ticket == ticket);
        let flight = if is_current { self.courier.flights.remove(&delivery_id) } else { None };
        let Some(Flight { waiting, admission, asked_at, access, .. }) = flight else { return Ok(()) };
        let kind = waiting.delivery.token.kind;
        let verdict = match kind {
            Kind::Fcm => wire::fcm::verdict(outcome, now),
            Kind::Apns => wire::apns::verdict(outcome, now),
            Kind::WebPush => wire::web::verdict(outcome, now),
        };
        self.courier.breakers.entry(kind).or_default().record(now, admission, Health::from(verdict));
        let mut batch = Vec::new();
        if verdict == Verdict::Renew
            && waiting.renewal == Renewal::Possible
            && self.renew(kind, access, (asked_at, now))
        {
            let renewal = Renewal::Tried;
            self.courier.waiting.push_front(Waiting { delivery: waiting.delivery, renewal });
        } else {
            let fate = decide_fate(now, &waiting.delivery, verdict, turn.entropy);
            self.end(turn, &waiting.delivery, fate, asked_at, &mut batch)?;
        }
        if self.courier.waiting.is_empty() && self.courier.due.is_some_and(|due| due <= now) {
            self.resume_deliveries(turn, delivery_id, &mut batch)?;
        }
        self.pump(turn, &mut batch)?;
        self.commit(turn, batch)?;
        self.answer_ripe(turn)
    }

    /// Forgets credentials that the provider refused, if new ones may be had.
    fn renew(&mut self, kind: Kind, access: u32, (asked_at, now): (Timestamp, Timestamp)) -> bool {
        match kind {
            Kind::Fcm => {
                // One that came since then is not the one that was refused.
                if matches!(self.courier.access, Access::Here(_)) && access == self.courier.accesses {
                    self.courier.access = Access::None;
                }
                true
            }
            Kind::Apns => {
                let token = &mut self.courier.provider_token;
                let is_newer =
                    token.as_ref().is_some_and(|token| token.holder == Holder::One && token.issued >= asked_at);
                let may = !is_newer && token.as_ref().is_none_or(|token| token.may_be_renewed(now));
                if let Some(signer) = self.courier.signer.as_ref().filter(|_| may) {
                    *token = Some(wire::apns::provider_token(signer, Holder::One, now));
                }
                may || is_newer
            }
            Kind::WebPush => false,
        }
    }

    /// Writes down what became of a try, and tells whoever waits.
    fn end(
        &mut self,
        turn: &mut Turn<'_>,
        delivery: &Delivery,
        fate: Fate,
        asked_at: Timestamp,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        let is_over = |at: Timestamp| at > delivery.begun_at.plus(COURSE_MS_MAX);
        match fate {
            Fate::Again(at) if !is_over(at) => batch.push(store::queue::put_off(delivery, at)),
            Fate::Again(_) | Fate::Sent | Fate::Dropped | Fate::Dead(_) => {
                batch.push(store::queue::remove_delivery(delivery.delivery_id));
            }
        }
        if fate == Fate::Sent && !self.courier.is_trial(delivery.delivery_id) {
            batch.extend(store::counts::forward(delivery.path, delivery.realm, turn.now));
        }
        if let Fate::Dead(since) = fate {
            // Who registered it after its death has it from somebody else.
            let at = since.map_or(asked_at, |since| since.min(asked_at));
            let Token { kind, token, app_id } = &delivery.token;
            match delivery.path {
                Path::Sealed => batch.push(store::sealed::expire(delivery.device_id, turn.now)),
                Path::Legacy => {
                    let hash = TokenHash::of(*kind, token);
                    self.strike(turn, hash, app_id.as_deref(), at, batch)?;
                }
            }
        }
        self.courier.settle(delivery, fate);
        Ok(())
    }

    /// Takes up what is due: retries whose time has come, and what a crash left behind.
    pub(super) fn resume_deliveries(
        &mut self,
        turn: &mut Turn<'_>,
        settled: i64,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        let now = turn.now;
        let room = WAITING_IN_MEMORY_MAX.saturating_sub(self.courier.waiting.len());
        for mut delivery in store::queue::due_deliveries(turn.sql, now, room)? {
            // The row that this very event settles is not taken up again.
            if delivery.delivery_id == settled {
                continue;
            }
            let lost = |flight: &Flight| now.since(flight.asked_at) >= LEASE_MS;
            if self.courier.flights.get(&delivery.delivery_id).is_some_and(lost) {
                self.courier.flights.remove(&delivery.delivery_id);
            }
            if self.courier.holds(delivery.delivery_id) {
                batch.push(store::queue::put_off(&delivery, now.plus(LEASE_MS)));
            } else if now > delivery.begun_at.plus(COURSE_MS_MAX) {
                batch.push(store::queue::remove_delivery(delivery.delivery_id));
            } else {
                delivery.attempts += 1;
                batch.push(store::queue::put_off(&delivery, now.plus(LEASE_MS)));
                self.courier.waiting.push_back(Waiting { delivery, renewal: Renewal::Possible });
            }
        }
        Ok(())
    }
}
