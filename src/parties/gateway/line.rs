//! One socket's line: what it is, what it waits for, and what waits for it.

use std::collections::{BTreeSet, VecDeque};

use super::{CLAIMS_MAX, Effect, Hold, Interest, Manner, Origin, Question, Said, Told};
use crate::kernel::errand::Ticket;
use crate::kernel::object::Conn;
use crate::parties::identity::check_peer_id;
use crate::parties::party::is_party_id;
use crate::parties::token::TOKEN_CHARS;

/// Messages that wait.
pub const QUEUE_MAX: usize = 64;
/// Bytes of the messages that wait.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Parties that a socket hears of.
pub const SUBSCRIPTIONS_MAX: usize = 16;

/// One of the things a line does one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the messages")]
pub enum Step {
    /// Ask for the peer. `claims` counts how often.
    Claim { peer_id: String, token: Option<String>, claims: u8 },
    /// Ask the gateway of the socket that holds the peer.
    AskHolder { peer_id: String, detail: String, gateway: String, conn: u32, claims: u8 },
    /// That socket is gone: say so to the peer's shard.
    ReleaseHolder { peer_id: String, gateway: String, conn: u32, claims: u8 },
    /// Tell a party of the peer that it is back.
    Resume { party_id: String },
    /// Hand a message to its party.
    Frame { party_id: String, text: String },
}

/// What others must be told after a step.
#[derive(Debug)]
pub(super) enum Aftermath {
    /// A party that the peer was in is none any more.
    Forget { party_id: String, peer_id: String },
    /// The line has given its name back.
    Release { peer_id: String },
}

/// One socket's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it comes from.
    pub origin: Origin,
    /// Whom it speaks for.
    pub peer_id: Option<String>,
    /// Whether it has that name from a message to a party that has not taken it yet. If the party refuses, the line has no
    /// name again: a refusal changes nothing.
    pub is_on_trial: bool,
    /// The stamp of the claim by which it does.
    pub bound_stamp: u64,
    /// The stamp of its last claim.
    pub asked_stamp: u64,
    /// The parties it hears of.
    pub parties: BTreeSet<String>,
    /// Those of them that the peer is said to have left. What they still send is delivered, for it may be on its way; but if
    /// the peer comes in again, the line must go there again.
    pub left: BTreeSet<String>,
    /// What it does, the first of it now.
    pub steps: VecDeque<Step>,
    /// The question of the first step, if it is asked.
    pub ticket: Option<Ticket>,
    /// How often it was asked.
    pub tries: u8,
    /// Messages that wait, with what they say.
    pub queue: VecDeque<(Said, String)>,
    /// Whether messages were too long to be kept over a loss of memory.
    pub has_lost: bool,
    /// Frames of the party that is asked just now. Not kept: a party repeats itself every few minutes.
    pub early: Vec<String>,
}

impl Line {
    /// The line of a socket that has not said who it is.
    #[must_use]
    pub const fn new(origin: Origin) -> Self {
        Self {
            origin,
            peer_id: None,
            is_on_trial: false,
            bound_stamp: 0,
            asked_stamp: 0,
            parties: BTreeSet::new(),
            left: BTreeSet::new(),
            steps: VecDeque::new(),
            ticket: None,
            tries: 0,
            queue: VecDeque::new(),
            has_lost: false,
            early: Vec::new(),
        }
    }

    /// Whether it waits for something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.steps.is_empty() || !self.queue.is_empty()
    }

    /// The peer that it asks for just now.
    #[must_use]
    pub fn claiming(&self) -> Option<&str> {
        match self.steps.front() {
            Some(Step::Claim { peer_id, .. }) if self.ticket.is_some() => Some(peer_id),
            _ => None,
        }
    }

    /// The party of the first step.
    pub(super) fn asking_party(&self) -> Option<&str> {
        match self.steps.front() {
            Some(Step::Resume { party_id } | Step::Frame { party_id, .. }) => Some(party_id),
            _ => None,
        }
    }

    /// It speaks for nobody any more, and forgets what it was about.
    pub(super) fn silence(&mut self) {
        self.peer_id = None;
        self.is_on_trial = false;
        self.parties.clear();
        self.left.clear();
        self.steps.clear();
        self.queue.clear();
        self.early.clear();
        self.tries = 0;
    }

    /// Puts a message at the end; false when too many wait already.
    pub(super) fn enqueue(&mut self, said: Said, text: &str) -> bool {
        let waiting: usize = self.queue.iter().map(|(_, text)| text.len()).sum();
        if self.queue.len() >= QUEUE_MAX || waiting + text.len() > QUEUE_BYTES_MAX {
            return false;
        }
        self.queue.push_back((said, text.to_owned()));
        true
    }

    /// The next question, if there is anything to ask. Messages that need none are answered on the way.
    pub(super) fn next_question(&mut self, conn: Conn, out: &mut Vec<Effect>) -> Option<Question> {
        while self.steps.is_empty() {
            let (said, text) = self.queue.pop_front()?;
            if let Err(message) = self.begin(said, text) {
                out.push(Effect::Error(conn, message));
            }
        }
        let step = self.steps.front().cloned()?;
        let peer_id = || self.peer_id.clone().unwrap_or_default();
        Some(match step {
            Step::Claim { peer_id, token, .. } => Question::Claim { conn, peer_id, token, stamp: 0 },
            Step::AskHolder { peer_id, gateway, conn, .. } => Question::Holds { gateway, conn, peer_id },
            Step::ReleaseHolder { peer_id, gateway, conn, .. } => {
                Question::Release { gateway: Some(gateway), conn, peer_id, stamp: 0 }
            }
            Step::Resume { party_id } => Question::Resume { conn, party_id, peer_id: peer_id() },
            Step::Frame { party_id, text } => Question::Frame { conn, party_id, peer_id: peer_id(), text },
        })
    }

    /// Goes to a party that it neither hears of nor is about to, if it may hear of one more.
    pub(super) fn resume(&mut self, party_id: &str) -> bool {
        let mut all: BTreeSet<String> = self.steps.iter().filter_map(step_party).collect();
        all.extend(self.parties.difference(&self.left).cloned());
        let is_new = !all.contains(party_id) && all.len() < SUBSCRIPTIONS_MAX;
        if is_new {
            self.steps.push_back(Step::Resume { party_id: party_id.to_owned() });
        }
        is_new
    }

    /// Turns a message into steps.
    ///
    /// Errors: what is wrong with it, for the client.
    fn begin(&mut self, said: Said, text: String) -> Result<(), String> {
        match said {
            Said::Auth { peer_id: None, token: None } => Ok(()),
            Said::Auth { peer_id, token } => {
                if token.as_ref().is_some_and(|token| token.len() != TOKEN_CHARS) {
                    return Err(String::from("Invalid or expired token"));
                }
                self.is_on_trial = false;
                match peer_id {
                    Some(peer_id) => {
                        self.check_peer(&peer_id)?;
                        self.claim(peer_id, token);
                    }
                    // The token says whose it is.
                    None => self.claim(self.peer_id.clone().unwrap_or_default(), token),
                }
                Ok(())
            }
            Said::ToParty { manner, party_id, peer_id } => {
                if !is_party_id(&party_id) {
                    return Err(String::from("party_id must be 1 to 20 letters, digits, hyphens and underscores"));
                }
                if let Some(peer_id) = &peer_id {
                    self.check_peer(peer_id)?;
                }
                if self.peer_id.is_none() {
                    let peer_id = peer_id.filter(|_| manner == Manner::Enter);
                    self.claim(peer_id.ok_or("This socket has not said who it is")?, None);
                    self.is_on_trial = true;
                }
                let is_new = manner == Manner::Enter && !self.parties.contains(&party_id);
                if is_new && self.parties.difference(&self.left).count() >= SUBSCRIPTIONS_MAX {
                    self.steps.clear();
                    return Err(String::from("Too many parties on one socket"));
                }
                self.steps.push_back(Step::Frame { party_id, text });
                Ok(())
            }
        }
    }

    fn claim(&mut self, peer_id: String, token: Option<String>) {
        self.steps.push_back(Step::Claim { peer_id, token, claims: 1 });
    }

    fn check_peer(&self, peer_id: &str) -> Result<(), String> {
        check_peer_id(peer_id).map_err(|_| String::from("peer_id must have 1 to 64 characters"))?;
        match &self.peer_id {
            Some(bound) if bound != peer_id => Err(format!("This socket speaks for {bound}")),
            _ => Ok(()),
        }
    }

    /// Goes on after `step`.
    pub(super) fn follow(&mut self, conn: Conn, step: Step, told: Told, out: &mut Vec<Effect>) -> Option<Aftermath> {
        match step {
            Step::Claim { peer_id, claims, .. } => self.follow_claim(conn, (peer_id, claims), told, out),
            Step::AskHolder { peer_id, detail, gateway, conn: held, claims } => match told {
                Told::Holding(Hold::NoLonger) => {
                    self.steps.push_front(Step::ReleaseHolder { peer_id, gateway, conn: held, claims });
                }
                _ => self.give_up(conn, detail, out),
            },
            Step::ReleaseHolder { peer_id, claims, .. } => {
                self.steps.push_front(Step::Claim { peer_id, token: None, claims: claims + 1 });
            }
            Step::Resume { party_id } => return self.follow_resume(conn, party_id, told, out),
            Step::Frame { party_id, .. } => {
                match told {
                    Told::Forwarded { frames, interest } => self.forwarded(conn, party_id, (frames, interest), out),
                    Told::Refused { detail, .. } => self.refused(conn, detail, out),
                    _ => self.refused(conn, format!("Party {party_id} does not answer"), out),
                }
                return self.end_trial();
            }
        }
        None
    }

    fn follow_claim(&mut self, conn: Conn, (peer_id, claims): (String, u8), told: Told, out: &mut Vec<Effect>) {
        match told {
            Told::Claimed { peer_id: claimed, parties } if peer_id.is_empty() || claimed == peer_id => {
                self.peer_id = Some(claimed);
                self.bound_stamp = self.asked_stamp;
                // A message that follows brings its own answer.
                let follows: Vec<String> = self.steps.iter().filter_map(step_party).collect();
                let resumed = parties.into_iter().filter(|party_id| !follows.contains(party_id));
                let room = SUBSCRIPTIONS_MAX.saturating_sub(follows.len());
                let resumed: Vec<Step> = resumed.take(room).map(|party_id| Step::Resume { party_id }).collect();
                resumed.into_iter().rev().for_each(|step| self.steps.push_front(step));
            }
            Told::Held { .. } if self.peer_id.take().is_some() => {
                // It spoke for the peer until somebody else did. Its parties learn with their next frames.
                self.parties.clear();
                self.left.clear();
                self.give_up(conn, format!("Peer id {peer_id} is in use"), out);
            }
            Told::Held { detail, .. } if claims >= CLAIMS_MAX => self.give_up(conn, detail, out),
            Told::Held { detail, gateway, conn: held } => {
                self.steps.push_front(Step::AskHolder { peer_id, detail, gateway, conn: held, claims });
            }
            Told::Refused { detail, .. } => self.give_up(conn, detail, out),
            _ => self.give_up(conn, String::from("The service does not answer; please try again"), out),
        }
    }

    fn follow_resume(&mut self, conn: Conn, party_id: String, told: Told, out: &mut Vec<Effect>) -> Option<Aftermath> {
        match told {
            Told::Forwarded { frames, interest } => {
                self.forwarded(conn, party_id, (frames, interest), out);
                None
            }
            Told::Refused { status: 404, .. } => {
                self.early.clear();
                self.peer_id.clone().map(|peer_id| Aftermath::Forget { party_id, peer_id })
            }
            _ => {
                self.early.clear();
                None
            }
        }
    }

    /// The name stays if any party hears the socket.
    fn end_trial(&mut self) -> Option<Aftermath> {
        if !std::mem::take(&mut self.is_on_trial) || !self.parties.is_empty() {
            return None;
        }
        self.steps.clear();
        self.peer_id.take().map(|peer_id| Aftermath::Release { peer_id })
    }

    fn forwarded(
        &mut self,
        conn: Conn,
        party_id: String,
        (frames, interest): (Vec<String>, Interest),
        out: &mut Vec<Effect>,
    ) {
        out.extend(frames.into_iter().map(|text| Effect::Send(conn, text)));
        let early = std::mem::take(&mut self.early);
        match interest {
            Interest::Subscribed => {
                out.extend(early.into_iter().map(|text| Effect::Send(conn, text)));
                self.left.remove(&party_id);
                if self.parties.len() >= SUBSCRIPTIONS_MAX
                    && let Some(left) = self.left.pop_first()
                {
                    self.parties.remove(&left);
                }
                // Beyond the limit the party learns with its next frame that nobody hears it here.
                if self.parties.len() < SUBSCRIPTIONS_MAX {
                    self.parties.insert(party_id);
                }
            }
            Interest::None => {
                self.parties.remove(&party_id);
                self.left.remove(&party_id);
            }
        }
    }

    fn refused(&mut self, conn: Conn, message: String, out: &mut Vec<Effect>) {
        self.early.clear();
        out.push(Effect::Error(conn, message));
    }

    /// The claim has failed, and with it what was to follow.
    fn give_up(&mut self, conn: Conn, message: String, out: &mut Vec<Effect>) {
        self.steps.clear();
        self.is_on_trial = false;
        out.push(Effect::Error(conn, message));
    }
}

fn step_party(step: &Step) -> Option<String> {
    match step {
        Step::Resume { party_id } | Step::Frame { party_id, .. } => Some(party_id.clone()),
        _ => None,
    }
}
