//! Device links: a browser asks the phone that holds a code to take it on as another screen.
//!
//! One request waits at a device at a time, and the first stays: if a second one could take its place, the person who
//! says yes to what the phone shows would say yes to somebody else.

use std::rc::Rc;

use super::event::{Effect, Event, LinkEvent, Refusal};
use super::message::{Answer, Json};
use super::room::{Due, Link, Room};
use crate::kernel::object::Conn;
use crate::kernel::time::Timestamp;

impl Room {
    /// `asked` is the device's code, the browser's key and the browser's name.
    pub(super) fn request_link(
        &mut self,
        now: Timestamp,
        conn: Conn,
        asked: (&str, &str, &str),
        out: &mut Vec<Effect<'_>>,
    ) -> Result<(), Refusal> {
        let (device, public_key, device_name) = asked;
        self.peer(conn)?;
        let to = self.conn_by_code.get(device).copied().filter(|to| *to != conn).ok_or(Refusal::LinkUnprocessed)?;
        let asked = self.peer(to)?;
        if asked.linked_by.is_some_and(|browser| browser != conn) {
            return Err(Refusal::LinkUnprocessed);
        }
        let device = asked.record.identity.code.clone();
        if let Some(former) = self.drop_link(conn).filter(|former| former.device != device)
            && let Some(former_device) = self.conn_by_code.get(&former.device)
        {
            out.push(Effect::Tell {
                to: *former_device,
                event: Event::Link(LinkEvent::Timeout { device: former.device }),
            });
        }
        let link = Link {
            device: device.clone(),
            public_key: Rc::from(public_key),
            device_name: Rc::from(device_name),
            asked_at: now,
        };
        self.timers.insert((now.plus(self.times.timeout_ms), conn, Due::Link));
        let event = Event::Link(LinkEvent::Asked {
            device,
            public_key: link.public_key.clone(),
            device_name: link.device_name.clone(),
            expires_in_ms: self.times.timeout_ms,
        });
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.linked_by = Some(conn);
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.record.link = Some(link);
        }
        out.extend([Effect::Tell { to, event }, Effect::Keep(conn)]);
        Ok(())
    }

    pub(super) fn answer_link<'a>(
        &mut self,
        conn: Conn,
        device: &str,
        (answer, device_id): (Answer, Option<Json<'a>>),
        out: &mut Vec<Effect<'a>>,
    ) -> Result<(), Refusal> {
        let responder = self.peer(conn)?;
        let identity = responder.record.identity.clone();
        if *identity.code != *device {
            return Err(Refusal::LinkOfAnother);
        }
        let browser = responder.linked_by.ok_or(Refusal::NoLinkRequest)?;
        let code = self.peer(browser)?.record.identity.code.clone();
        let Link { device, public_key, device_name, .. } = self.drop_link(browser).ok_or(Refusal::NoLinkRequest)?;
        match answer {
            Answer::Reject => {
                out.extend([
                    Effect::Tell { to: browser, event: Event::Link(LinkEvent::Rejected { device }) },
                    Effect::Keep(browser),
                ]);
            }
            Answer::Accept => {
                let linked = Event::Link(LinkEvent::ToDevice { device: identity, device_id });
                out.push(Effect::Tell { to: browser, event: linked });
                let linked = Event::Link(LinkEvent::ToBrowser { device, public_key, browser: code, device_name });
                out.push(Effect::Tell { to: conn, event: linked });
                self.befriend(browser, conn, out);
            }
        }
        Ok(())
    }

    /// Takes a link request back, timer and index included.
    fn drop_link(&mut self, browser: Conn) -> Option<Link> {
        let link = self.peers.get_mut(&browser)?.record.link.take()?;
        self.timers.remove(&(link.asked_at.plus(self.times.timeout_ms), browser, Due::Link));
        if let Some(device) = self.peer_of_code_mut(&link.device) {
            device.linked_by = None;
        }
        Some(link)
    }

    /// The peer of `conn` is gone: `asked` is what it had asked for, `asked_by` the browser that waited for it.
    pub(super) fn leave_links(
        &mut self,
        conn: Conn,
        asked: Option<&Link>,
        asked_by: Option<Conn>,
        out: &mut Vec<Effect<'_>>,
    ) {
        if let Some(link) = asked {
            self.timers.remove(&(link.asked_at.plus(self.times.timeout_ms), conn, Due::Link));
            if let Some(to) = self.conn_by_code.get(&link.device).copied() {
                if let Some(device) = self.peers.get_mut(&to) {
                    device.linked_by = None;
                }
                out.push(Effect::Tell { to, event: Event::Link(LinkEvent::Timeout { device: link.device.clone() }) });
            }
        }
        if let Some(browser) = asked_by
            && let Some(link) = self.drop_link(browser)
        {
            let event = Event::Link(LinkEvent::Timeout { device: link.device });
            out.extend([Effect::Tell { to: browser, event }, Effect::Keep(browser)]);
        }
    }

    /// The link's timer, which is not among the timers any more, has rung.
    pub(super) fn expire_link(&mut self, browser: Conn, out: &mut Vec<Effect<'_>>) {
        let Some(link) = self.drop_link(browser) else { return };
        let device = self.conn_by_code.get(&link.device).copied();
        for to in [Some(browser), device].into_iter().flatten() {
            out.push(Effect::Tell { to, event: Event::Link(LinkEvent::Timeout { device: link.device.clone() }) });
        }
        out.push(Effect::Keep(browser));
    }
}
