//! What operators ask of the directory: all servers, their own tokens, organizations wherever they are, and moves.

use serde_json::{Value, json};

use super::directory::{PushDirectory, UNDER_WAY_MAX, UnderWay};
use super::learn::Halt;
use super::operator::admitted;
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Answer, Call, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::sql::Statement;
use crate::kernel::time::Timestamp;
use crate::push::directory::{Entry, Hold};
use crate::push::operate::OperationError;
use crate::push::queue::duty_delay_ms;
use crate::push::refusal::Refusal;
use crate::push::role::{KeptToken, ShownToken, TOKENS_MAX, admit, fresh_token, hash, is_token_id};
use crate::push::store::directory as rows;
use crate::push::store::index::{self as kept, FarewellRow, IndexRow};
use crate::push::uuid::Uuid;
use crate::push::wire::index::{Admit, Admitted, Bundle, Farewell, Summary};
use crate::push::wire::operator::{self as wire, Move, Query};
use crate::push::wire::service::{self, Granted, NameKind};

/// Farewells that the alarm takes up.
const FAREWELLS_MAX: u64 = 16;

/// The shortest search that looks everywhere.
const SEARCH_CHARS_MIN: usize = 2;

/// A move, step by step.
pub(super) struct Moving {
    realm: Uuid,
    from: Uuid,
    wish: Move,
    /// What the organization takes along, once its server has said so.
    bundle: Option<Bundle>,
}

impl PushDirectory {
    /// Operators' calls, and what servers and the front ask on their behalf.
    pub(super) fn operate(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        let is_service = call.principal == Principal::Service;
        let reply = match call.operation {
            Operation::OperatorAdmit if is_service => judge(turn, &service::parse(call)?)?,
            Operation::PushAnnounce if is_service => self.announced(turn, &service::parse(call)?)?,
            Operation::OperatorAdmit | Operation::PushAnnounce => return Err(Refusal::NotFound.into()),
            _ => {
                admitted(call)?;
                return self.operate_admitted(turn, call);
            }
        };
        Ok(Answer::Now(reply))
    }

    fn operate_admitted(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        let reply = match call.operation {
            Operation::OperatorServers => list(turn, call)?,
            Operation::OperatorMetrics => totals(turn)?,
            Operation::OperatorTokens => list_tokens(turn, call)?,
            Operation::OperatorTokenCreate => self.create_token(turn, call)?,
            Operation::OperatorTokenRevoke => self.revoke_token(turn, call)?,
            _ => return self.pass_on(turn, call),
        };
        Ok(Answer::Now(reply))
    }

    fn announced(&mut self, turn: &Turn<'_>, summary: &Summary) -> Result<Reply, Halt> {
        let statement = if summary.removed {
            kept::remove(&summary.uuid)
        } else {
            let row = IndexRow {
                uuid: summary.uuid.clone(),
                hostname: summary.hostname.clone(),
                contact_email: summary.contact_email.clone(),
                plan_type: summary.plan_type,
                deactivated: summary.deactivated,
                last_request_at: summary.last_request_at,
                last_version: summary.last_version.clone(),
                realms: summary.realms,
                devices: summary.devices,
                sealed_devices: summary.sealed_devices,
            };
            kept::put(&row, &summary.names, turn.now)
        };
        self.commit(turn, vec![statement])?;
        Ok(Reply::json_text(String::from("{}")))
    }

    fn create_token(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let wish = wire::parse_token_wish(&call.body)?;
        if kept::count_tokens(turn.sql)? >= TOKENS_MAX {
            return Err(OperationError::Full.into());
        }
        let shown = fresh_token(turn.entropy);
        let token = KeptToken {
            id: shown.id.clone(),
            hash: hash(&shown.secret),
            name: wish.name,
            role: wish.role,
            created_at: turn.now,
            expires_at: turn.now.plus(wish.lasts_ms),
            revoked_at: None,
        };
        self.commit(turn, kept::put_token(&token).to_vec())?;
        let mut body = wire::token(&token);
        if let Some(members) = body.as_object_mut() {
            members.insert(String::from("token"), Value::from(shown.text().reveal()));
        }
        Ok(wire::once(&body))
    }

    fn revoke_token(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let id = call.params.first().map_or("", String::as_str);
        let token = kept::load_token(turn.sql, id)?.ok_or(OperationError::NoToken)?;
        if token.revoked_at.is_none() {
            self.commit(turn, vec![kept::revoke(id, turn.now)])?;
        }
        Ok(wire::answer(&json!({ "revoked": true })))
    }

    /// An organization's call goes to the server that has it.
    fn pass_on(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        let uuid = call.params.first().and_then(|text| Uuid::parse(text)).ok_or(OperationError::NoRealm)?;
        let entry = rows::load_name(turn.sql, NameKind::Realm.word(), uuid.as_str())?.ok_or(OperationError::NoRealm)?;
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(Refusal::Busy.into());
        }
        let under_way = if call.operation == Operation::OperatorRealmMove {
            let wish = wire::parse_move(&call.body)?;
            let moving = Moving { realm: uuid, from: entry.server.clone(), wish, bundle: None };
            UnderWay::Moving(Box::new(moving), call.request_id.clone())
        } else {
            UnderWay::PassedOn(call.request_id.clone())
        };
        let ticket = self.ticket();
        let (class, name) = (Class::RemoteServer, entry.server.to_string());
        turn.ask(ticket, Errand::Call { class, name, call: Box::new(call.clone()) });
        self.under_way.insert(ticket, under_way);
        Ok(Answer::Later(ticket))
    }

    /// The next step of a move: the old server checks the secret and packs, the new one unpacks, the name changes hands, and
    /// the old server is told until it has heard. A crash before the name changes hands leaves the organization with both,
    /// and asking again finishes it.
    pub(super) fn moved(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        mut moving: Box<Moving>,
        request_id: &str,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let reply = match outcome {
            Outcome::Replied(reply) => reply.clone(),
            _ => wire::refused(&Refusal::Busy, request_id),
        };
        if reply.status != 200 {
            turn.answer(ticket, reply);
            return Ok(());
        }
        let Some(bundle) = moving.bundle.take() else {
            let Some(bundle) = service::replied::<Bundle>(outcome) else {
                turn.answer(ticket, wire::refused(&Refusal::Busy, request_id));
                return Ok(());
            };
            let (class, operation) = (Class::RemoteServer, Operation::PushRealmAdopt);
            let errand = service::errand(class, moving.wish.server.to_string(), operation, &bundle, request_id)?;
            turn.ask(ticket, errand);
            moving.bundle = Some(bundle);
            self.under_way.insert(ticket, UnderWay::Moving(moving, request_id.to_owned()));
            return Ok(());
        };
        if !service::replied::<Granted>(outcome).is_some_and(|granted| granted.granted) {
            turn.answer(ticket, wire::refused(&Refusal::Busy, request_id));
            return Ok(());
        }
        let entry = Entry { server: moving.wish.server.clone(), hold: Hold::Confirmed };
        let (realm, from, to) = (moving.realm.as_str(), moving.from.as_str(), moving.wish.server.as_str());
        let batch = vec![
            rows::put_name(NameKind::Realm.word(), realm, &entry),
            kept::put_farewell(realm, from, to, &bundle.actor, turn.now),
        ];
        self.commit(turn, batch)?;
        turn.answer(ticket, wire::answer(&json!({ "realm": realm, "server": to })));
        Ok(())
    }

    /// Says the farewells whose time has come.
    pub(super) fn say_farewells(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        for row in kept::due_farewells(turn.sql, turn.now, FAREWELLS_MAX)? {
            let FarewellRow { farewell_id, realm, server, target, actor, attempts } = row;
            batch.push(kept::put_off_farewell(farewell_id, turn.now.plus(duty_delay_ms(attempts + 1))));
            let farewell = Farewell { realm, to: target, actor };
            let errand = service::errand(Class::RemoteServer, server, Operation::PushRealmDrop, &farewell, "")?;
            let ticket = self.ticket();
            turn.ask(ticket, errand);
            self.under_way.insert(ticket, UnderWay::Parting(farewell_id));
        }
        Ok(())
    }

    pub(super) fn parted(&mut self, turn: &Turn<'_>, farewell_id: i64, outcome: &Outcome) -> Result<(), Fault> {
        if service::is_done(outcome) {
            self.commit(turn, vec![kept::remove_farewell(farewell_id)])?;
        }
        Ok(())
    }
}

/// When the next farewell is due.
pub(super) fn next_farewell(sql: &dyn crate::kernel::sql::Sql) -> Result<Option<Timestamp>, Fault> {
    kept::next_farewell(sql)
}

fn judge(turn: &Turn<'_>, question: &Admit) -> Result<Reply, Halt> {
    let shown = ShownToken::parse(&question.token).ok_or(OperationError::NotOperator)?;
    let token = kept::load_token(turn.sql, &shown.id)?;
    let operator = admit(turn.now, token.as_ref(), &shown).ok_or(OperationError::NotOperator)?;
    Ok(service::answer(&Admitted { caller: operator.caller() })?)
}

fn list(turn: &Turn<'_>, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let (limit, search) = (query.limit()?, query.search()?);
    if !search.is_empty() && search.chars().count() < SEARCH_CHARS_MIN {
        return Err(OperationError::Query("query").into());
    }
    let after = query.after_name(|name| Uuid::parse(name).is_some())?;
    let rows = kept::load_page(turn.sql, after, &search, limit)?;
    let next = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| Value::from(row.uuid.as_str()));
    let entry = |row: &IndexRow| {
        crate::push::wire::index::server(&Summary {
            uuid: row.uuid.clone(),
            hostname: row.hostname.clone(),
            contact_email: row.contact_email.clone(),
            plan_type: row.plan_type,
            deactivated: row.deactivated,
            last_request_at: row.last_request_at,
            last_version: row.last_version.clone(),
            realms: row.realms,
            devices: row.devices,
            sealed_devices: row.sealed_devices,
            names: String::new(),
            removed: false,
        })
    };
    Ok(wire::page("servers", rows.iter().map(entry).collect(), next))
}

fn totals(turn: &Turn<'_>) -> Result<Reply, Halt> {
    let rows = kept::load_totals(turn.sql)?;
    let sum = |of: fn(&kept::Totals) -> u64| rows.iter().map(of).sum::<u64>();
    let mut by_plan = std::collections::BTreeMap::new();
    for row in &rows {
        *by_plan.entry(row.plan_type.to_string()).or_insert(0_u64) += row.servers;
    }
    Ok(wire::answer(&json!({
        "servers": sum(|row| row.servers),
        "servers_deactivated": sum(|row| if row.deactivated { row.servers } else { 0 }),
        "servers_by_plan_type": by_plan,
        "realms": sum(|row| row.realms),
        "legacy_tokens": sum(|row| row.devices),
        "e2ee_devices": sum(|row| row.sealed_devices),
    })))
}

fn list_tokens(turn: &Turn<'_>, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let tokens = kept::load_tokens(turn.sql, query.after_name(is_token_id)?, limit)?;
    let next = tokens.last().filter(|_| tokens.len() as u64 == limit).map(|token| Value::from(token.id.as_str()));
    Ok(wire::page("tokens", tokens.iter().map(wire::token).collect(), next))
}
