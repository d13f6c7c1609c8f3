//! What only the host may do: settings, invites, bans.

use super::work::Work;
use super::{Done, Halt, PartyRoom};
use crate::kernel::object::{Call, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::parties::ears::Ear;
use crate::parties::invites::normalize;
use crate::parties::party::{Change, Party};
use crate::parties::password::seal;
use crate::parties::refusal::Refusal;
use crate::parties::wire::party::{
    PasswordChange, SettingsChange, encode_ban, encode_invite, encode_settings, encode_status, parse_ban, parse_invite,
    parse_settings,
};

fn list(name: &str, entries: Vec<serde_json::Value>) -> Result<Done, Halt> {
    let body = serde_json::Map::from_iter([(name.to_owned(), serde_json::Value::from(entries))]);
    Ok(Done::Reply(Reply::json(&body)?))
}

fn status(status: &str) -> Done {
    Done::Reply(Reply::json_text(encode_status(status)))
}

impl PartyRoom {
    /// The party, if the caller is its host. Whoever is not a member learns only that.
    fn ruled(&mut self, caller: &str) -> Result<&mut Party, Refusal> {
        let Some(party) = &mut self.party else { return Err(Refusal::PartyNotFound(self.party_id.clone())) };
        party.check_host(caller)?;
        Ok(party)
    }

    /// Does what the host asks.
    pub(super) fn rule(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        caller: &str,
        work: &mut Work,
    ) -> Result<Done, Halt> {
        let now = turn.now;
        let named = call.params.get(1).map_or("", String::as_str);
        match call.operation {
            Operation::PartySettings => self.set(turn, call, caller, work),
            Operation::PartyInviteCreate => {
                let invite = parse_invite(&call.body, now)?;
                let (code, old) = self.ruled(caller)?.invites.add(now, invite, turn.entropy)?;
                work.rules(old.into_iter().map(Change::Invite).collect());
                work.rules(vec![Change::Invite(code.clone())]);
                Ok(Done::Reply(Reply::json(&encode_invite(&code, invite))?))
            }
            Operation::PartyInviteList => {
                let invites = &self.ruled(caller)?.invites;
                list("invites", invites.good(now).map(|(code, invite)| encode_invite(code, invite)).collect())
            }
            Operation::PartyInviteRevoke => {
                let code = normalize(named);
                self.ruled(caller)?.invites.revoke(&code)?;
                work.rules(vec![Change::Invite(code)]);
                Ok(status("revoked"))
            }
            Operation::PartyBan => self.ban(turn, call, caller, work),
            Operation::PartyBanList => {
                let bans = &self.ruled(caller)?.bans;
                list("bans", bans.in_force(now).map(|(peer_id, until)| encode_ban(peer_id, until)).collect())
            }
            Operation::PartyUnban => {
                self.ruled(caller)?.bans.lift(now, named)?;
                work.rules(vec![Change::Ban(named.to_owned())]);
                Ok(status("unbanned"))
            }
            _ => Err(Self::unknown()),
        }
    }

    fn set(&mut self, turn: &mut Turn<'_>, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let SettingsChange { name, password, peers_max, promotion } = parse_settings(&call.body)?;
        let settings = self.settings.clone();
        let party = self.ruled(caller)?;
        let is_renamed = name.as_ref().is_some_and(|name| *name != party.name);
        if let Some(name) = name {
            party.name = name;
        }
        match password {
            PasswordChange::Keep => {}
            PasswordChange::Remove => party.password = None,
            PasswordChange::Set(password) => {
                party.password = Some(seal(settings.party.token_key.as_ref(), &password, turn.entropy));
            }
        }
        party.peers_max = peers_max.unwrap_or(party.peers_max);
        party.promotion = promotion.unwrap_or(party.promotion);
        let answer = encode_settings(party);
        work.rules(vec![Change::Party]);
        if is_renamed {
            let everybody: Vec<Ear> = self.ears.all().map(|(ear, _)| ear.clone()).collect();
            self.post_whole(turn.now, &everybody, work)?;
        }
        Ok(Done::Reply(Reply::json(&answer)?))
    }

    fn ban(&mut self, turn: &mut Turn<'_>, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let (peer_id, until) = parse_ban(&call.body, turn.now)?;
        let party = self.ruled(caller)?;
        if peer_id == caller {
            return Err(Refusal::HostBan.into());
        }
        let over = party.bans.add(turn.now, &peer_id, until)?;
        let is_member = party.has(&peer_id);
        work.rules(over.into_iter().map(Change::Ban).collect());
        work.rules(vec![Change::Ban(peer_id.clone())]);
        if is_member {
            self.remove(turn, &peer_id, work)?;
        }
        Ok(Done::Reply(Reply::json(&encode_ban(&peer_id, until))?))
    }
}
