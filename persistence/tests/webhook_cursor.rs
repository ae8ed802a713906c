//! How far webhooks are, in every store: what was saved is read back, and they begin once only.

mod store_support;

use farerush_engine::flight::Seq;
use farerush_persistence::store::WebhookCursor;
use store_support::{id, life_of, stores};

fn cursor(flight: &str, seq: u64, free: Option<u32>) -> WebhookCursor {
    WebhookCursor { flight_id: id(flight), seq: Seq(seq), free }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_begin_once_where_flights_are_and_go_on_where_they_were() {
    for test in stores().await {
        let store = &test.store;
        assert_eq!(store.webhook_cursors().await.unwrap(), None, "they were never configured");
        let life = life_of("STORED", 5);
        let batch = life.all(1);
        let last = batch.last_seq();
        store.flush(&[batch]).await.unwrap();
        store.begin_webhooks(&[cursor("HERE", 7, Some(3))]).await.unwrap();
        let begun = Some(vec![cursor("HERE", 7, Some(3)), cursor("STORED", last.0, None)]);
        let sorted = async || {
            let mut found = store.webhook_cursors().await.unwrap();
            found.iter_mut().for_each(|found| found.sort_by(|a, b| a.flight_id.cmp(&b.flight_id)));
            found
        };
        assert_eq!(sorted().await, begun);
        store.begin_webhooks(&[cursor("HERE", 99, None)]).await.unwrap();
        assert_eq!(sorted().await, begun, "somebody else was first");
        // Wherever it is said, also back.
        store.save_webhook_cursors(&[cursor("HERE", 5, None), cursor("NEW", 1, Some(0))]).await.unwrap();
        let asked = [id("HERE"), id("NEW"), id("NOBODY")];
        let mut found = store.webhook_cursors_of(&asked).await.unwrap();
        found.sort_by(|a, b| a.flight_id.cmp(&b.flight_id));
        assert_eq!(found, [cursor("HERE", 5, None), cursor("NEW", 1, Some(0))]);
    }
}
