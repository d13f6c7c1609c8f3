//! What operators ask of the directory: all servers, their own tokens, and organizations wherever they are.

use serde_json::{Value, json};

use super::directory::{PushDirectory, UNDER_WAY_MAX, UnderWay};
use super::learn::Halt;
use super::operator::admitted;
use crate::kernel::errand::Errand;
use crate::kernel::json::to_json;
use crate::kernel::object::{Answer, Call, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::push::operate::OperationError;
use crate::push::refusal::Refusal;
use crate::push::role::{KeptToken, ShownToken, TOKENS_MAX, admit, fresh_token, hash, is_token_id};
use crate::push::store::directory as rows;
use crate::push::store::index::{self as kept, IndexRow};
use crate::push::store::relocation;
use crate::push::uuid::Uuid;
use crate::push::wire::index::{Admit, Admitted, Summary};
use crate::push::wire::operator as wire;
use crate::push::wire::query::Query;
use crate::push::wire::service::{self, NameKind};
use crate::push::wire::wish;

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
        let batch = if summary.removed {
            kept::remove(&summary.uuid)
        } else if kept::is_late(turn.sql, &summary.uuid, summary.seq)? {
            Vec::new()
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
            let mut batch = vec![kept::put(&row, summary.seq, turn.now)];
            if !summary.changes.is_empty() {
                batch.extend(kept::put_realms(&summary.uuid, to_json(&summary.changes)?));
            }
            batch
        };
        self.commit(turn, batch)?;
        Ok(Reply::json_text(String::from("{}")))
    }

    fn create_token(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let wanted = wish::parse_token_wish(&call.body)?;
        if kept::count_live_tokens(turn.sql, turn.now)? >= TOKENS_MAX {
            return Err(OperationError::Full.into());
        }
        let shown = fresh_token(turn.entropy);
        let token = KeptToken {
            id: shown.id.clone(),
            hash: hash(&shown.secret),
            name: wanted.name,
            role: wanted.role,
            created_at: turn.now,
            expires_at: turn.now.plus(wanted.lasts_ms),
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

    /// An organization's call goes to the server that has it; where nobody has it, what has happened to it is with the
    /// server that had it last.
    fn pass_on(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        let uuid = call.params.first().and_then(|text| Uuid::parse(text)).ok_or(OperationError::NoRealm)?;
        let entry = rows::load_name(turn.sql, NameKind::Realm.word(), uuid.as_str())?;
        let is_history = matches!(call.operation, Operation::OperatorRealmAudit | Operation::OperatorRealmInvoices);
        let server = match entry {
            Some(entry) => Some(entry.server),
            None if is_history => relocation::load_past(turn.sql, uuid.as_str())?,
            None => None,
        };
        let server = server.ok_or(OperationError::NoRealm)?;
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(Refusal::Busy.into());
        }
        if call.operation == Operation::OperatorRealmMove {
            return self.begin_move(turn, call, uuid, server);
        }
        let ticket = self.ticket();
        let (class, name) = (Class::RemoteServer, server.to_string());
        turn.ask(ticket, Errand::Call { class, name, call: Box::new(call.clone()) });
        self.under_way.insert(ticket, UnderWay::PassedOn(call.request_id.clone()));
        Ok(Answer::Later(ticket))
    }
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
            seq: 0,
            changes: Vec::new(),
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
