//! Names at a directory: wished for, granted, confirmed, released.

use super::directory::{PushDirectory, UNDER_WAY_MAX, UnderWay};
use super::learn::Halt;
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Answer, Call, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::push::device::TokenHash;
use crate::push::directory::{
    AskedPlan, ClaimPlan, Entry, Hold, REGISTRATIONS_PER_NETWORK, REGISTRATIONS_PERIOD_MS, SettlePlan, Use,
    decide_asked, decide_claim, decide_confirm, decide_release,
};
use crate::push::refusal::Refusal;
use crate::push::store::relocation::MoveRow;
use crate::push::store::{self, directory as rows};
use crate::push::uuid::Uuid;
use crate::push::wire::envelope;
use crate::push::wire::service::{self, Act, Claim, Granted, GrantedEach, Holder, Name, NameKind, Names, Settle};

/// A wish that waits until a server has said whether it uses a name.
pub(super) struct Asking {
    wish: Wish,
    asked: Uuid,
    /// Whether the answer counts: no longer, once the server that was asked has wanted the name again.
    answer: AnswerStands,
}

/// Names that a server wants, one after the other.
pub(super) struct Wish {
    server: Uuid,
    names: Vec<Name>,
    /// The answers so far; the next name is the one after these.
    granted: Vec<bool>,
    form: AnswerForm,
    request_id: String,
}

impl Wish {
    /// The name that is next, unless one was refused: then the others are of no use.
    fn next(&self) -> Option<&Name> {
        if self.granted.contains(&false) { None } else { self.names.get(self.granted.len()) }
    }

    fn answer(self) -> Result<Reply, Fault> {
        match self.form {
            AnswerForm::One => service::answer(&Granted { granted: self.granted == [true] }),
            AnswerForm::Each => {
                let mut granted = self.granted;
                granted.resize(self.names.len(), false);
                service::answer(&GrantedEach { granted })
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    One,
    Each,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswerStands {
    Yes,
    No,
}

impl PushDirectory {
    pub(super) fn reserve(&mut self, turn: &mut Turn<'_>, call: &Call, claim: Claim) -> Result<Answer, Halt> {
        let Name { kind, name } = &claim.name;
        if *kind == NameKind::Network {
            let quota = Quota::new(REGISTRATIONS_PER_NETWORK, REGISTRATIONS_PERIOD_MS);
            let granted = self.take(turn, name, "registrations", quota)?.is_ok();
            return Ok(Answer::Now(service::answer(&Granted { granted })?));
        }
        self.wish(turn, call, vec![claim.name], &claim.server, AnswerForm::One)
    }

    pub(super) fn wish(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        names: Vec<Name>,
        server: &str,
        form: AnswerForm,
    ) -> Result<Answer, Halt> {
        let server = Uuid::parse(server).ok_or_else(|| Fault::Corrupt(String::from("a claim of no server")))?;
        let request_id = call.request_id.clone();
        let ticket = self.ticket();
        let wish = Wish { server, names, granted: Vec::new(), form, request_id };
        match self.grant(turn, ticket, wish, Vec::new())? {
            Some(reply) => Ok(Answer::Now(reply)),
            None => Ok(Answer::Later(ticket)),
        }
    }

    /// Grants the names of a wish as far as that needs no question, and commits that together with `batch`. The reply, unless
    /// a server must be asked first.
    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        mut wish: Wish,
        mut batch: Vec<Statement>,
    ) -> Result<Option<Reply>, Halt> {
        let mut question = None;
        while let Some(name) = wish.next() {
            let entry = rows::load_name(turn.sql, name.kind.word(), &name.name)?;
            if self.is_moving(turn.sql, name)? {
                wish.granted.push(false);
                continue;
            }
            let name = name.clone();
            self.doubt(&name, &wish.server);
            match decide_claim(turn.now, entry.as_ref(), &wish.server) {
                ClaimPlan::Keep => wish.granted.push(true),
                ClaimPlan::Taken => wish.granted.push(false),
                ClaimPlan::Reserve(entry) => {
                    batch.push(rows::put_name(name.kind.word(), &name.name, &entry));
                    wish.granted.push(true);
                }
                ClaimPlan::Ask(asked) => {
                    question = Some((name, asked));
                    break;
                }
            }
        }
        if question.is_some() && self.under_way.len() >= UNDER_WAY_MAX {
            // What an earlier answer granted stands by itself for a minute, and no longer.
            return Err(Refusal::Busy.into());
        }
        self.commit(turn, batch)?;
        let Some((name, asked)) = question else { return Ok(Some(wish.answer()?)) };
        let (class, operation) = (Class::RemoteServer, Operation::PushLookup);
        let errand = service::errand(class, asked.to_string(), operation, &name, &wish.request_id)?;
        turn.ask(ticket, errand);
        self.under_way.insert(ticket, UnderWay::Asking(Asking { wish, asked, answer: AnswerStands::Yes }));
        Ok(None)
    }

    /// Whether an organization is on its way, and its name nobody's to take.
    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn is_moving(&self, sql: &dyn Sql, name: &Name) -> Result<bool, Fault> {
        Ok(name.kind == NameKind::Realm && store::relocation::load(sql, &name.name)?.is_some())
    }

    /// A server wants a name again: what it says of the time before counts no more.
    fn doubt(&mut self, name: &Name, server: &Uuid) {
        for under_way in self.under_way.values_mut() {
            if let UnderWay::Asking(asking) = under_way
                && asking.asked == *server
                && asking.wish.next() == Some(name)
            {
                asking.answer = AnswerStands::No;
            }
        }
    }

    /// A server that has a name has said whether it uses it.
    pub(super) fn asked(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        asking: Asking,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let Asking { mut wish, asked, answer } = asking;
        let Some(name) = wish.next().cloned() else { return Ok(()) };
        let Name { kind, name: text } = &name;
        let is_moving = self.is_moving(turn.sql, &name)?;
        let used = match service::replied::<Granted>(outcome) {
            _ if answer == AnswerStands::No || is_moving => Use::Silence,
            Some(Granted { granted: true }) => Use::Yes,
            Some(Granted { granted: false }) => Use::No,
            None => Use::Silence,
        };
        let entry = rows::load_name(turn.sql, kind.word(), text)?;
        let (entry, granted) = match decide_asked(turn.now, entry.as_ref(), &asked, used, &wish.server) {
            AskedPlan::Confirm(entry) => (Some(entry), false),
            AskedPlan::Reserve(entry) => (Some(entry), true),
            AskedPlan::Taken => (None, false),
        };
        wish.granted.push(granted);
        let batch = entry.iter().map(|entry| rows::put_name(kind.word(), text, entry)).collect();
        match self.grant(turn, ticket, wish, batch) {
            Ok(Some(reply)) => turn.answer(ticket, reply),
            Ok(None) => {}
            Err(Halt::Fault(fault)) => return Err(fault),
            Err(Halt::Refused(_) | Halt::Need(_)) => turn.answer(ticket, envelope::refused(&Refusal::Busy)),
        }
        Ok(())
    }

    /// Names that a server wants no longer.
    pub(super) fn release_each(&mut self, turn: &mut Turn<'_>, wish: &Names) -> Result<Reply, Halt> {
        let server = Uuid::parse(&wish.server).ok_or_else(|| Fault::Corrupt(String::from("a name of no server")))?;
        let mut batch = Vec::new();
        for Name { kind, name } in &wish.names {
            let entry = rows::load_name(turn.sql, kind.word(), name)?;
            batch.extend(release(*kind, name, entry.as_ref(), &server));
        }
        self.commit(turn, batch)?;
        Ok(Reply::json_text(String::from("{}")))
    }

    pub(super) fn settle(&mut self, turn: &mut Turn<'_>, wish: &Settle) -> Result<Reply, Halt> {
        let Name { kind, name } = &wish.name;
        let mut holder = None;
        let server = Uuid::parse(&wish.server).ok_or_else(|| Fault::Corrupt(String::from("a name of no server")))?;
        let batch = if *kind == NameKind::Token {
            let token = TokenHash::from_hex(name).ok_or_else(|| Fault::Corrupt(String::from("a token of no hash")))?;
            vec![match wish.act {
                Act::Confirm => rows::put_holder(token, &server),
                Act::Release => rows::remove_holder(token, server.as_str()),
            }]
        } else {
            let entry = rows::load_name(turn.sql, kind.word(), name)?;
            let on_its_way = if *kind == NameKind::Realm { store::relocation::load(turn.sql, name)? } else { None };
            let is_strange = |row: &MoveRow| ![row.origin.as_str(), row.target.as_str()].contains(&server.as_str());
            let plan = match wish.act {
                Act::Confirm if on_its_way.as_ref().is_some_and(is_strange) => SettlePlan::Nothing,
                Act::Confirm => decide_confirm(entry.as_ref(), &server),
                Act::Release => decide_release(entry.as_ref(), &server),
            };
            // Whoever confirms in vain must know it: the name is another's.
            if wish.act == Act::Confirm {
                holder = match &plan {
                    SettlePlan::Confirm(entry) => Some(entry.server.to_string()),
                    _ => {
                        let holder = entry.as_ref().map(|entry| entry.server.to_string());
                        holder.or_else(|| on_its_way.map(|row| row.target))
                    }
                };
            }
            match plan {
                SettlePlan::Confirm(entry) => vec![rows::put_name(kind.word(), name, &entry)],
                SettlePlan::Remove => release(*kind, name, entry.as_ref(), &server),
                SettlePlan::Nothing => Vec::new(),
            }
        };
        self.commit(turn, batch)?;
        Ok(service::answer(&Holder { server: holder })?)
    }
}

/// Nobody holds a name that its holder released.
fn release(kind: NameKind, name: &str, entry: Option<&Entry>, server: &Uuid) -> Vec<Statement> {
    if decide_release(entry, server) != SettlePlan::Remove {
        return Vec::new();
    }
    let mut batch = vec![rows::remove_name(kind.word(), name)];
    let was_used = entry.is_some_and(|entry| entry.hold == Hold::Confirmed);
    if was_used && kind == NameKind::Realm {
        batch.push(store::relocation::put_past(name, server));
    }
    batch
}
