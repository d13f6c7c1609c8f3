//! How a call waits for what other objects and servers know.
//!
//! A call is run; where it needs a fact that is not here, it stops with the question. The question is asked, and when its
//! answer comes the call is run again from the start, with one fact more. So every run reads, decides and commits within one
//! event, whatever happened in between.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::settings::Settings;
use crate::push::contact::{Lookup, RecordType};
use crate::push::directory::{NAMES_PER_MESSAGE, shard};
use crate::push::rate::Standing;
use crate::push::refusal::Refusal;
use crate::push::upload::Upload;
use crate::push::uuid::Uuid;
use crate::push::wire::resolver;
use crate::push::wire::service::{self, Claim, Granted, GrantedEach, Holder, Name, NameKind, Names};

/// Why a run ends without an answer.
#[derive(Debug)]
pub(super) enum Halt {
    /// The caller is told.
    Refused(Refusal),
    /// The shell is told.
    Fault(Fault),
    /// Something must be known first.
    Need(Question),
}

impl<E: Into<Refusal>> From<E> for Halt {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Something that somebody else knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// May the client's network register one more server?
    Quota,
    /// What does the domain name system say?
    Domain(String, RecordType),
    /// May we have these names, all of one shard?
    Claims(Vec<Name>),
    /// Who has this name?
    Holder(Name),
}

/// What a call has learned so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Learned {
    /// Once the caller was let through: what is left of its rate.
    pub(super) standing: Option<Option<Standing>>,
    quota: Option<bool>,
    lookups: Vec<Lookup>,
    claims: BTreeMap<Name, bool>,
    holders: Vec<(Name, Option<Uuid>)>,
    /// An upload that was read already and waits for names.
    pub(super) upload: Option<Rc<Upload>>,
    /// The names that it waits for, shard by shard.
    pub(super) wanted: Vec<Name>,
}

impl Learned {
    /// Whether the client's network may register one more server.
    pub(super) fn quota(&self) -> Result<bool, Halt> {
        self.quota.ok_or(Halt::Need(Question::Quota))
    }

    /// What the resolver said so far.
    pub(super) fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// Whether we have the name.
    pub(super) fn claim(&self, name: &Name) -> Result<bool, Halt> {
        self.claim_all(std::slice::from_ref(name))
    }

    /// Whether we have all of the names. Those of one shard that stand together are asked for together.
    pub(super) fn claim_all(&self, names: &[Name]) -> Result<bool, Halt> {
        if self.claims.values().any(|granted| !granted)
            && names.iter().any(|name| self.claims.get(name) == Some(&false))
        {
            return Ok(false);
        }
        let mut unknown = names.iter().filter(|name| !self.claims.contains_key(name)).peekable();
        let Some(first) = unknown.peek() else { return Ok(true) };
        let place = shard_of(first);
        let asked = unknown.take_while(|name| shard_of(name) == place).take(NAMES_PER_MESSAGE).cloned();
        Err(Halt::Need(Question::Claims(asked.collect())))
    }

    /// Who has the name.
    pub(super) fn holder(&self, name: &Name) -> Result<Option<Uuid>, Halt> {
        let known = self.holders.iter().find(|(known, _)| known == name);
        known.map(|(_, holder)| holder.clone()).ok_or_else(|| Halt::Need(Question::Holder(name.clone())))
    }

    /// Whether this call was given the name.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.claims.get(name) == Some(&true)
    }

    /// The names that this call was given and may have to give back.
    pub(super) fn granted(&self) -> impl Iterator<Item = &Name> {
        self.claims.iter().filter(|(_, granted)| **granted).map(|(name, _)| name)
    }

    /// Takes an answer in.
    ///
    /// Errors: [`Refusal::Busy`] when another object of ours did not answer. A resolver's silence is an answer.
    pub(super) fn learn(&mut self, question: Question, outcome: &Outcome) -> Result<(), Refusal> {
        match question {
            Question::Domain(_, record) => self.lookups.push(resolver::parse_answer(outcome, record)),
            Question::Quota => {
                let granted: Granted = service::replied(outcome).ok_or(Refusal::Busy)?;
                self.quota = Some(granted.granted);
            }
            Question::Claims(names) => {
                let each: GrantedEach = service::replied(outcome).ok_or(Refusal::Busy)?;
                self.claims.extend(names.into_iter().zip(each.granted));
            }
            Question::Holder(name) => {
                let holder: Holder = service::replied(outcome).ok_or(Refusal::Busy)?;
                self.holders.push((name, holder.server.as_deref().and_then(Uuid::parse)));
            }
        }
        Ok(())
    }
}

/// The errand that asks a question.
pub(super) fn errand(question: &Question, settings: &Settings, server: &Uuid, call: &Call) -> Result<Errand, Fault> {
    match question {
        Question::Domain(domain, record) => {
            let url = settings.push.dns_query_url.as_deref().unwrap_or_default();
            Ok(resolver::question(url, domain, *record))
        }
        Question::Quota => {
            let name = Name { kind: NameKind::Network, name: call.client.as_str().to_owned() };
            let claim = Claim { name: name.clone(), server: server.to_string() };
            ask_directory(&name, Operation::PushReserve, &claim, call)
        }
        Question::Claims(names) => {
            let name = names.first().ok_or_else(|| Fault::Corrupt(String::from("a wish for no name")))?;
            let body = Names { names: names.clone(), server: server.to_string() };
            ask_directory(name, Operation::PushReserveEach, &body, call)
        }
        Question::Holder(name) => ask_directory(name, Operation::PushLookup, name, call),
    }
}

/// The object that keeps a name.
pub(super) fn shard_of(name: &Name) -> String {
    shard(name.kind.word(), &name.name)
}

fn ask_directory<T: serde::Serialize>(
    name: &Name,
    operation: Operation,
    body: &T,
    call: &Call,
) -> Result<Errand, Fault> {
    service::errand(Class::PushDirectory, shard_of(name), operation, body, &call.request_id)
}
