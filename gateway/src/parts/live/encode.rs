//! Events as they are sent: `sale` and `seats`, as text of `text/event-stream`.
//! Never keeps anything.

use bytes::Bytes;
use farerush_engine::actor::FlightView;
use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::{Epoch, Sale, SaleState};

use super::StreamPosition;
use crate::base::json::Json;
use crate::wire::render;

/// After how many milliseconds a client that lost its stream should come back.
const RETRY: &[u8] = b"retry: 1000\n\n";
/// Bytes of one changed seat, about.
const CHANGED_SEAT_BYTES: usize = 30;

/// Writes the `sale` event. It has no id: whoever comes back gets the sale in any case.
pub(super) fn sale(text: &mut Vec<u8>, sale: &Sale, state: SaleState) {
    let mut json = Json::with_capacity(192);
    render::write_sale(&mut json, sale, state);
    event(text, "sale", None, json);
}

/// Writes the `seats` event with all seats.
pub(super) fn all_seats(text: &mut Vec<u8>, view: &FlightView, at: StreamPosition) {
    let mut json = Json::with_capacity(all_seats_bytes(view));
    json.open().key("seq").number(view.seq.0).key("available").number(view.free);
    json.key("reset").boolean(true).key("cabins").open_list();
    let mut rows = view.rows.iter();
    let mut letters = String::new();
    for cabin in &view.definition.cabins {
        json.open().key("cabin_class").text(cabin.cabin_class.as_str());
        json.key("layout").text(cabin.layout.as_str());
        json.key("rows").open_list().number(cabin.first_row).number(cabin.last_row).close_list();
        json.key("seats").open_list();
        for row in rows.by_ref().take(cabin.rows()) {
            letters.clear();
            letters.extend((0..cabin.layout.seats()).map(|position| initial(row.status(position))));
            json.text(&letters);
        }
        json.close_list().close();
    }
    json.close_list().close();
    event(text, "seats", Some(at), json);
}

/// Writes the `seats` event with what differs between two views, or with all seats where that is shorter or the cabins
/// themselves have changed; says whether anything differs.
pub(super) fn changed_seats(
    text: &mut Vec<u8>,
    before: &FlightView,
    after: &FlightView,
    epoch: Epoch,
) -> bool {
    let at = StreamPosition { epoch, seq: after.seq };
    let same_cabins = std::sync::Arc::ptr_eq(&before.definition, &after.definition)
        || before.definition.cabins == after.definition.cabins;
    if !same_cabins {
        all_seats(text, after, at);
        return true;
    }
    if before.rows == after.rows {
        return false;
    }
    let seats_max = all_seats_bytes(after) / CHANGED_SEAT_BYTES;
    let mut seats = 0;
    let mut json = Json::with_capacity(256);
    json.open().key("seq").number(after.seq.0).key("available").number(after.free).key("seats").open_list();
    let mut rows = before.rows.iter().zip(&after.rows);
    for cabin in &after.definition.cabins {
        for (row, (before, after)) in (cabin.first_row..=cabin.last_row).zip(rows.by_ref()) {
            if before == after {
                continue;
            }
            for (position, letter) in cabin.layout.letters().iter().enumerate() {
                let status = after.status(position);
                if before.status(position) != status {
                    json.open().key("seat").plain(format_args!("{row}{}", char::from(*letter)));
                    json.key("status").text(status.as_str()).close();
                    seats += 1;
                }
            }
        }
        if seats > seats_max {
            all_seats(text, after, at);
            return true;
        }
    }
    json.close_list().close();
    event(text, "seats", Some(at), json);
    true
}

/// All there is to know: what a reader begins with, and one that was too slow goes on with.
pub(super) fn everything(view: &FlightView, the_sale: &Sale, state: SaleState, at: StreamPosition) -> Bytes {
    let mut text = Vec::with_capacity(512 + all_seats_bytes(view));
    text.extend_from_slice(RETRY);
    sale(&mut text, the_sale, state);
    all_seats(&mut text, view, at);
    text.into()
}

/// What a reader has missed that comes back: the texts since, and the sale as it is.
pub(super) fn missed<'a>(texts: impl Iterator<Item = &'a Bytes>, the_sale: &Sale, state: SaleState) -> Bytes {
    let mut text = RETRY.to_vec();
    texts.for_each(|missed| text.extend_from_slice(missed));
    sale(&mut text, the_sale, state);
    text.into()
}

/// The letter that stands for a status.
const fn initial(status: SeatStatus) -> char {
    match status {
        SeatStatus::Free => 'f',
        SeatStatus::Held => 'h',
        SeatStatus::Sold => 's',
        SeatStatus::Blocked => 'b',
    }
}

fn all_seats_bytes(view: &FlightView) -> usize {
    256 + 128 * view.definition.cabins.len() + 3 * view.rows.len() + view.capacity as usize
}

fn event(text: &mut Vec<u8>, name: &str, at: Option<StreamPosition>, data: Json) {
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(name.as_bytes());
    if let Some(StreamPosition { epoch, seq }) = at {
        text.extend_from_slice(format!("\nid: {}-{}", epoch.0, seq.0).as_bytes());
    }
    // JSON has no line breaks, so that it is one line of data.
    text.extend_from_slice(b"\ndata: ");
    text.extend_from_slice(&data.into_bytes());
    text.extend_from_slice(b"\n\n");
}
