//! The waitlist's events: who may join, who is served, in which order, and with which seats.
//! Never serves anybody: it says whether the flight was right to.

use super::replay::{Event, Verdict, must};
use super::request::{Accept, Ask, read};
use super::state::{Cabin, Entry, Fit, Flight, text};

impl Flight {
    pub(crate) fn joined(&mut self, event: &Event, ask: Option<&Ask>) -> Verdict {
        let Some(Ask::Join { customer, size, accept, class, until }) = ask else {
            return Err("nobody joined".to_owned());
        };
        must(matches!(self.sale.state(event.at), "open" | "paused"), "nobody could join then")?;
        must(*size <= self.sale.per_order && *size <= self.sale.per_customer, "the party is too large")?;
        self.line.push(Entry {
            id: text(&event.details["waitlist_id"]),
            customer: customer.clone(),
            size: *size,
            accept: *accept,
            class: class.clone(),
            until: *until,
            status: "waiting",
            order: None,
            seq: event.seq,
            updated: event.at,
        });
        Ok(())
    }

    fn entry(&mut self, event: &Event) -> Result<&mut Entry, String> {
        let id = text(&event.details["waitlist_id"]);
        let entry = self.line.iter_mut().find(|entry| entry.id == id).ok_or("there is no such party")?;
        must(entry.status == "waiting", "the party did not wait any more")?;
        entry.seq = event.seq;
        entry.updated = event.at;
        Ok(entry)
    }

    pub(crate) fn left(&mut self, event: &Event) -> Verdict {
        let entry = self.entry(event)?;
        if event.actor == "flight" {
            must(entry.until.is_some_and(|until| until <= event.at), "its time had not run out")?;
            entry.status = "expired";
        } else {
            entry.status = "left";
        }
        Ok(())
    }

    pub(crate) fn served(&mut self, event: &Event) -> Verdict {
        must(self.sale.state(event.at) == "open", "nobody is served unless the sale is open")?;
        let seats = event.seats();
        let id = text(&event.details["waitlist_id"]);
        let place = self.line.iter().position(|entry| entry.id == id).ok_or("there is no such party")?;
        let waits = |entry: &&Entry| entry.status == "waiting" && entry.until.is_none_or(|u| u > event.at);
        if let Some(first) = self.line[..place].iter().filter(waits).find(|entry| self.fit(entry) == Fit::Yes)
        {
            return Err(format!("{} came before and fits", first.id));
        }
        let entry = self.line[place].clone();
        must(waits(&&entry), "its time had run out")?;
        let right = match entry.accept {
            Accept::All => seats.len() == entry.size,
            Accept::Together => seats.len() == entry.size && self.side_by_side(&seats),
            Accept::AtLeast(least) => {
                let allowed = self.sale.per_customer.saturating_sub(self.holding(&entry.customer));
                let most = entry.size.min(self.free(entry.class.as_deref()));
                seats.len() >= least
                    && (seats.len() == most || seats.len() == allowed.min(self.sale.per_order))
            }
        };
        must(right, "it has not the seats that it wanted")?;
        let in_class = |cabin: &Cabin| entry.class.as_ref().is_none_or(|class| *class == cabin.class);
        must(seats.iter().all(|seat| self.cabin(seat).is_some_and(in_class)), "it sits in another class")?;
        let hold = if self.sale.hold_seconds > 0 { self.sale.hold_seconds } else { 600 } * 1000;
        must(read(&event.details["hold_expires_at"]) == Some(event.at + hold), "its hold is another")?;
        self.new_order(event, &entry.customer, "held")?;
        let order = event.order().map(str::to_owned);
        let served = self.entry(event)?;
        served.status = "served";
        served.order = order;
        Ok(())
    }
}
