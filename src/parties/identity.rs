//! Peer ids: who may have a token for one, how long a token lives, and which socket speaks for a peer.
//!
//! An id that somebody has is given a second token only against the first one, or against a signature of the key that it
//! was registered with. What nobody has used for the life of a token is free again.

use crate::kernel::keys::verify;
use crate::kernel::quota::Quota;
use crate::kernel::settings::Switch;
use crate::kernel::time::Timestamp;

use super::token::TokenHash;

/// Characters of a peer id.
pub const PEER_ID_CHARS_MAX: usize = 64;
/// Tokens of one peer.
pub const TOKENS_MAX: usize = 8;
/// Parties that a peer is remembered to be in.
pub const PARTIES_MAX: u64 = 32;
/// Peers of one shard.
pub const IDENTITIES_MAX: u64 = 20_000;
/// Bindings of one shard.
pub const BINDINGS_MAX: u64 = 20_000;
/// Memberships of one shard.
pub const MEMBERSHIPS_MAX: u64 = 100_000;
/// Registrations of one client network at one shard.
pub const REGISTRATIONS: Quota = Quota::per_minute(60);
/// How long a client repeats a registration whose answer it did not get. Units: milliseconds.
pub const RETRY_MS: u64 = 60_000;
/// How far the clock of a client that signs may be off. Units: milliseconds.
pub const SIGNATURE_SKEW_MS: u64 = 60_000;
/// How long a socket speaks for a peer if nobody says that it is gone. Units: milliseconds; a week.
pub const BINDING_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// How a peer id is no peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerIdError {
    /// It is empty.
    TooShort,
    /// It has more than [`PEER_ID_CHARS_MAX`] characters.
    TooLong,
}

/// Whether a text may be a peer id.
///
/// Errors: [`PeerIdError`].
pub fn check_peer_id(peer_id: &str) -> Result<(), PeerIdError> {
    if peer_id.is_empty() {
        return Err(PeerIdError::TooShort);
    }
    if peer_id.chars().nth(PEER_ID_CHARS_MAX).is_some() { Err(PeerIdError::TooLong) } else { Ok(()) }
}

/// How long tokens live. Use extends them, and yet a row is written only once in a while: the memory is exact, and what
/// is read back from storage is given the benefit of the doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    ttl_ms: u64,
}

impl Lifetime {
    /// Tokens that end `ttl_ms` after their last use.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self { ttl_ms }
    }

    /// How far the stored use may lie behind the real one. Units: milliseconds.
    #[must_use]
    pub fn grain_ms(self) -> u64 {
        (self.ttl_ms / 24).max(1)
    }

    /// When a token ends that is used now.
    #[must_use]
    pub const fn from(self, now: Timestamp) -> Timestamp {
        now.plus(self.ttl_ms)
    }

    /// When a token ends. `remembered` is its last use, if this memory has seen it.
    #[must_use]
    pub fn end(self, token: &StoredToken, remembered: Option<Timestamp>) -> Timestamp {
        match (remembered, token.used) {
            (Some(used), _) => used.plus(self.ttl_ms),
            (None, Use::Used) => token.seen_at.plus(self.ttl_ms).plus(self.grain_ms()),
            (None, Use::Never) => token.seen_at.plus(self.ttl_ms),
        }
    }

    /// Whether a use must be written down.
    #[must_use]
    pub fn is_worth_a_row(self, token: &StoredToken, now: Timestamp) -> bool {
        token.used == Use::Never || now.since(token.seen_at) >= self.grain_ms()
    }

    /// What was stored as last seen at this time or before is over now, whatever the memory knows.
    #[must_use]
    pub fn is_over_before(self, now: Timestamp) -> Timestamp {
        now.minus(self.ttl_ms).minus(self.grain_ms())
    }

    fn holds(self, identity: &Identity, now: Timestamp) -> bool {
        let slack_ms = if identity.used == Use::Used { self.grain_ms() } else { 0 };
        now < identity.seen_at.plus(self.ttl_ms).plus(slack_ms)
    }
}

/// Whether something was used since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Use {
    Never,
    Used,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// What it is known by.
    pub hash: TokenHash,
    /// The client network that it was made for.
    pub network: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its last use that was written down; until then when it was made.
    pub seen_at: Timestamp,
    /// Whether it was ever used.
    pub used: Use,
}

/// A token whose end is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownToken {
    /// As it is stored.
    pub stored: StoredToken,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// A peer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The Ed25519 key that it registered with.
    pub public_key: Option<[u8; 32]>,
    /// The newest time that this key has signed.
    pub signed_at: Option<Timestamp>,
    /// The client network of its last registration.
    pub network: String,
    /// Its last registration, or the last use of a token that was written down.
    pub seen_at: Timestamp,
    /// Whether a token of it was ever used.
    pub used: Use,
}

/// A registration's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The Ed25519 key that signed.
    pub public_key: [u8; 32],
    /// Its signature over [`signed_message`].
    pub signature: Vec<u8>,
    /// When it signed, by its own clock.
    pub timestamp: Timestamp,
}

/// What a client signs to register a peer.
#[must_use]
pub fn signed_message(peer_id: &str, timestamp: Timestamp) -> String {
    format!("waystation/party-identity/v1\n{peer_id}\n{}", timestamp.as_millis())
}

/// Why somebody is given no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The id is somebody's.
    InUse,
    /// The signature is none of the key over this registration.
    Signature,
    /// It was signed at another time than now.
    SignatureTime,
    /// It has been used before.
    Replayed,
    /// The network registers too often.
    TooMany {
        /// How long to wait. Units: milliseconds.
        retry_after_ms: u64,
    },
    /// Nobody else fits in.
    Full,
}

/// What must be known to decide about a registration.
#[derive(Debug)]
pub struct RegistrationFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// How long tokens live.
    pub lifetime: Lifetime,
    /// Whether anybody gets a token for any id.
    pub open: Switch,
    /// Where the request comes from.
    pub network: &'a str,
    /// The peer, if it is stored.
    pub known: Option<Identity>,
    /// Its tokens.
    pub tokens: Vec<KnownToken>,
    /// The token that came with the request.
    pub presented: Option<TokenHash>,
    /// The socket that speaks, or lately spoke, for the peer.
    pub binding: Option<Binding>,
    /// How long a socket's peer is remembered when the socket is gone. Units: milliseconds.
    pub peer_ttl_ms: u64,
}

/// What is true after a registration, beside the new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationPlan {
    /// The peer.
    pub identity: Identity,
    /// Tokens that are no longer.
    pub dropped: Vec<TokenHash>,
    /// The token that was shown, and so used.
    pub used: Option<TokenHash>,
}

/// Decides whether the sender of a registration is given a token for `peer_id`.
///
/// Errors: a [`Refusal`].
pub fn decide_registration(
    facts: RegistrationFacts<'_>,
    peer_id: &str,
    proof: Option<&Proof>,
) -> Result<RegistrationPlan, Refusal> {
    let now = facts.now;
    if let Some(proof) = proof {
        check_proof(proof, peer_id, now)?;
    }
    let (live, ended): (Vec<KnownToken>, Vec<KnownToken>) =
        facts.tokens.iter().cloned().partition(|token| now < token.ends_at);
    let known = facts.known.as_ref().filter(|known| !live.is_empty() || facts.lifetime.holds(known, now));
    let used = facts.presented.filter(|hash| live.iter().any(|token| token.stored.hash == *hash));
    let signed = judge_signature(known, proof);
    let title = if used.is_some() {
        Title::Token
    } else if signed == Signed::Anew {
        Title::Key
    } else if facts.open.is_on() {
        Title::Open
    } else if known.is_some_and(|known| is_same_client(known, &live, &facts, signed)) {
        Title::Again
    } else if known.is_none() && facts.binding.as_ref().is_none_or(|binding| is_none_of_strangers(binding, &facts)) {
        Title::Free
    } else {
        return Err(if signed == Signed::Before { Refusal::Replayed } else { Refusal::InUse });
    };
    Ok(RegistrationPlan {
        dropped: dropped(live, &ended, title),
        identity: registered(known, proof, used, &facts),
        used,
    })
}

/// By what right somebody is given a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Title {
    /// They have shown one.
    Token,
    /// They have signed.
    Key,
    /// Everybody is.
    Open,
    /// They did not get the one they were given.
    Again,
    /// The id is nobody's.
    Free,
}

/// What a signature says about the peer's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    /// Nothing: there is none, or it is another key's.
    Not,
    /// It signed this later than everything before.
    Anew,
    /// It signed this, or something later, before.
    Before,
}

fn judge_signature(known: Option<&Identity>, proof: Option<&Proof>) -> Signed {
    match (known, proof) {
        (Some(known), Some(proof)) if known.public_key == Some(proof.public_key) => {
            if Some(proof.timestamp) > known.signed_at { Signed::Anew } else { Signed::Before }
        }
        _ => Signed::Not,
    }
}

fn check_proof(proof: &Proof, peer_id: &str, now: Timestamp) -> Result<(), Refusal> {
    if now.since(proof.timestamp).max(proof.timestamp.since(now)) > SIGNATURE_SKEW_MS {
        return Err(Refusal::SignatureTime);
    }
    let message = signed_message(peer_id, proof.timestamp);
    if verify(&proof.public_key, message.as_bytes(), &proof.signature) { Ok(()) } else { Err(Refusal::Signature) }
}

/// Whether this is a client that did not get its answer, or that has given all its tokens back: it comes from where the
/// last registration came from, and nobody has used what that brought.
fn is_same_client(known: &Identity, live: &[KnownToken], facts: &RegistrationFacts<'_>, signed: Signed) -> bool {
    let is_here = known.network == facts.network && (known.public_key.is_none() || signed != Signed::Not);
    is_here
        && match live {
            [] => true,
            [only] => only.stored.used == Use::Never && facts.now.since(only.stored.made_at) <= RETRY_MS,
            _ => false,
        }
}

/// A peer that speaks over a socket without a token is somebody's too, until its socket is gone for a while.
fn is_none_of_strangers(binding: &Binding, facts: &RegistrationFacts<'_>) -> bool {
    let is_over = binding.released_at.is_some_and(|at| facts.now.since(at) >= facts.peer_ttl_ms);
    is_over || binding.network == facts.network
}

fn dropped(mut live: Vec<KnownToken>, ended: &[KnownToken], title: Title) -> Vec<TokenHash> {
    // Those that nobody has used go first, so that nobody loses theirs to others' tries.
    live.sort_by_key(|token| (token.stored.used == Use::Used, token.stored.made_at, token.stored.hash));
    let surplus = if title == Title::Again { live.len() } else { (live.len() + 1).saturating_sub(TOKENS_MAX) };
    live.iter().take(surplus).chain(ended).map(|token| token.stored.hash).collect()
}

fn registered(
    known: Option<&Identity>,
    proof: Option<&Proof>,
    used: Option<TokenHash>,
    facts: &RegistrationFacts<'_>,
) -> Identity {
    let public_key = known.and_then(|known| known.public_key).or_else(|| proof.map(|proof| proof.public_key));
    let signed = proof.filter(|proof| public_key == Some(proof.public_key)).map(|proof| proof.timestamp);
    let was_used = used.is_some() || known.is_some_and(|known| known.used == Use::Used);
    Identity {
        public_key,
        signed_at: signed.max(known.and_then(|known| known.signed_at)),
        network: facts.network.to_owned(),
        seen_at: facts.now,
        used: if was_used { Use::Used } else { Use::Never },
    }
}

/// The peers whose turn it is when a shard is full: the one longest unseen of those that never used a token, and of
/// those that did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Oldest {
    /// Id and last sight of a peer that never used a token.
    pub never_used: Option<(String, Timestamp)>,
    /// The same of one that did.
    pub used: Option<(String, Timestamp)>,
}

/// Who makes room for a newcomer at a shard of `count` peers. A peer that is in use never does: its heartbeats are
/// written down once in a grain.
///
/// Errors: [`Refusal::Full`] when nobody does.
pub fn decide_room(
    (count, oldest): (u64, Oldest),
    lifetime: Lifetime,
    peer_ttl_ms: u64,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    if count < IDENTITIES_MAX {
        return Ok(None);
    }
    if let Some((peer_id, seen_at)) = &oldest.used
        && *seen_at <= lifetime.is_over_before(now)
    {
        return Ok(Some(peer_id.clone()));
    }
    if let Some((peer_id, _)) = oldest.never_used {
        return Ok(Some(peer_id));
    }
    let idle_ms = lifetime.grain_ms().saturating_add(peer_ttl_ms);
    match oldest.used {
        Some((peer_id, seen_at)) if now.since(seen_at) > idle_ms => Ok(Some(peer_id)),
        _ => Err(Refusal::Full),
    }
}

/// A gateway's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The gateway's object name.
    pub gateway: String,
    /// Its connection.
    pub conn: u32,
}

/// A socket that spoke for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The socket.
    pub seat: Seat,
    /// The stamp of its last claim.
    pub stamp: u64,
}

/// Which socket speaks for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The socket.
    pub seat: Seat,
    /// The stamp of its last claim: a release of an earlier one is late.
    pub stamp: u64,
    /// Its client network.
    pub network: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was gone, if it is.
    pub released_at: Option<Timestamp>,
    /// The socket that spoke before, until its gateway knows that it does no longer.
    pub former: Option<Former>,
}

/// Whether a claim came with a good token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// It did.
    Token,
    /// It came with none.
    Nothing,
}

/// Why a socket does not speak for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// Nobody speaks without a token here.
    TokenRequired,
    /// The peer has a token or a key, and the socket has not shown it.
    NotProven,
    /// Another socket does.
    Held(Seat),
}

/// What must be known to decide about a claim.
#[derive(Debug, Clone)]
pub struct ClaimFacts {
    /// Whether sockets without a token are allowed.
    pub anonymous: Switch,
    /// Whether anybody gets a token for any id.
    pub open: Switch,
    /// Whether the peer has a key, or a living token that was used.
    pub is_proven: bool,
    /// Who speaks for the peer.
    pub binding: Option<Binding>,
}

/// Decides whether a socket speaks for a peer from now on, and which one does no longer.
///
/// Errors: a [`ClaimRefusal`].
pub fn decide_claim(
    facts: ClaimFacts,
    voucher: Voucher,
    (seat, network): (&Seat, &str),
) -> Result<Option<Former>, ClaimRefusal> {
    let holder = facts.binding.filter(|binding| binding.released_at.is_none());
    if voucher == Voucher::Nothing {
        if !facts.anonymous.is_on() {
            return Err(ClaimRefusal::TokenRequired);
        }
        if facts.is_proven && !facts.open.is_on() {
            return Err(ClaimRefusal::NotProven);
        }
        if let Some(holder) = &holder
            && holder.seat != *seat
            && holder.network != network
        {
            return Err(ClaimRefusal::Held(holder.seat.clone()));
        }
    }
    let former = holder.filter(|holder| holder.seat != *seat);
    Ok(former.map(|Binding { seat, stamp, .. }| Former { seat, stamp }))
}

/// Whether a peer can only be spoken for by whoever has its token or its key.
#[must_use]
pub fn is_proven(known: Option<&Identity>, tokens: &[KnownToken], now: Timestamp) -> bool {
    known.is_some_and(|known| known.public_key.is_some())
        || tokens.iter().any(|token| token.stored.used == Use::Used && now < token.ends_at)
}
