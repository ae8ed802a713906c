//! What every store must do, the same for each kind.

mod store_support;

use std::collections::{HashMap, HashSet};
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{
    Accept, AdminName, CabinClass, Command, CustomerId, Decision, EndedLongAgo, Epoch, Event, Flight,
    IdempotencyKey, OrderId, OrderNo, OrderRef, OrderStatus, Outcome, PassengerName, PolicyChange, Reference,
    Refusal, SaleSwitch, SeatPlan, Seq, Together, WaitlistStatus, Wanted,
};
use farerush_engine::journal::Claim;
use farerush_persistence::store::{
    Flushed, OrderFilter, RefundReason, Store, StoreError, StoreOptions, StoredChange, StoredOrder,
    TicketStatus,
};
use proptest::prelude::*;
use store_support::{Chance, Life, cabin, id, life_of, options, stores};

async fn restored(store: &Store, life: &Life) -> Flight {
    let (snapshot, cursor) = store.snapshot(&life.id()).await.unwrap().expect("a snapshot");
    let flight = Flight::restore(snapshot).unwrap();
    assert_eq!(flight.seq(), cursor.seq);
    flight
}

fn claim(flight_id: &str, epoch: u64) -> Claim {
    Claim { flight_id: id(flight_id), epoch: Epoch(epoch) }
}

#[tokio::test]
async fn migrations_are_applied_once_and_listed() {
    for test in stores().await {
        test.store.migrate().await.unwrap();
        let status = test.store.migration_status().await.unwrap();
        assert!(!status.is_empty() && status.iter().all(|migration| migration.applied), "{status:?}");
        test.store.ping().await.unwrap();
        assert!(test.store.sync().await.unwrap());
        assert!(test.store.describe().starts_with(test.name));
        test.store.close().await;
        assert!(matches!(test.store.ping().await, Err(StoreError::Unavailable { .. })));
    }
}

#[tokio::test]
async fn a_store_without_tables_says_that_migrations_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mysql) = store_support::database().await;
    for url in [format!("sqlite:{}/empty.db", folder.path().display()), mysql] {
        let store = Store::open(&url, &options()).await.unwrap();
        let status = store.migration_status().await.unwrap();
        assert!(status.iter().all(|migration| !migration.applied));
        assert!(matches!(store.cursors().await, Err(StoreError::Schema { .. })));
        store.migrate().await.unwrap();
        assert_eq!(store.cursors().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_setting_that_names_no_store_is_refused_without_its_secrets() {
    for url in ["", "nonsense", "postgres://user:secret@host/db", "sqlite:", "sqlite::memory:"] {
        let error = Store::open(url, &options()).await.unwrap_err();
        assert!(matches!(error, StoreError::Setting { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    let options = StoreOptions { create: false, ..options() };
    let missing = Store::open("sqlite:/nowhere/at/all.db", &options).await.unwrap_err();
    assert!(missing.is_transient(), "{missing}");
}

#[tokio::test]
async fn each_claim_gets_a_larger_epoch() {
    for test in stores().await {
        let store = &test.store;
        let claimed = store.claim(&[claim("A", 0), claim("B", 7), claim("A", 3)]).await.unwrap();
        let epochs: Vec<_> = claimed.iter().map(|c| (c.flight_id.as_str(), c.epoch.0, c.seq.0)).collect();
        assert_eq!(epochs, [("A", 3, 0), ("B", 7, 0)]);
        let again = store.claim(&[claim("B", 0), claim("A", 10)]).await.unwrap();
        let epochs: Vec<_> = again.iter().map(|c| (c.flight_id.as_str(), c.epoch.0)).collect();
        assert_eq!(epochs, [("B", 8), ("A", 10)]);
        assert_eq!(store.cursors().await.unwrap().len(), 2);
        assert_eq!(store.cursor(&id("C")).await.unwrap(), None);
        assert!(store.snapshot(&id("A")).await.unwrap().is_none(), "claimed, but nothing stored");
    }
}

#[tokio::test]
async fn a_flush_stores_a_flight_and_a_repeated_one_changes_nothing() {
    for test in stores().await {
        let mut life = Life::new("FR1");
        life.grab("u1", 2);
        life.grab("u2", 3);
        let store = &test.store;
        store.claim(&[claim("FR1", 1)]).await.unwrap();
        assert_eq!(store.flush(&[life.all(1)]).await.unwrap(), [Flushed::Stored]);
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest());
        let again = store.flush(&[life.all(1)]).await.unwrap();
        assert_eq!(again, [Flushed::AlreadyStored { stored: Seq(4) }]);
        life.grab("u3", 1);
        // Half of it is stored already.
        assert_eq!(store.flush(&[life.batch(1, 1..=5)]).await.unwrap(), [Flushed::Stored]);
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest());
    }
}

#[tokio::test]
async fn an_old_epoch_and_a_gap_are_left_out_and_the_others_stored() {
    for test in stores().await {
        let (store, mut old, mut gap, good) =
            (&test.store, Life::new("OLD"), Life::new("GAP"), Life::new("GOOD"));
        store.flush(&[old.all(1), gap.all(1)]).await.unwrap();
        store.claim(&[claim("OLD", 2)]).await.unwrap();
        old.grab("u", 1);
        gap.grab("u", 1);
        gap.grab("u", 1);
        let batches = [old.batch(1, 3..=3), gap.batch(1, 4..=4), good.all(1)];
        let outcomes = store.flush(&batches).await.unwrap();
        let expected =
            [Flushed::Fenced { owner: Epoch(2) }, Flushed::Gap { stored: Seq(2) }, Flushed::Stored];
        assert_eq!(outcomes, expected);
        assert_eq!(restored(store, &gap).await.digest(), gap.flight_at(2).digest());
        let later = [gap.batch(1, 3..=3), gap.batch(1, 4..=4), old.batch(2, 3..=3)];
        assert_eq!(store.flush(&later).await.unwrap(), vec![Flushed::Stored; 3]);
        assert_eq!(restored(store, &gap).await.digest(), gap.flight.digest());
        assert_eq!(restored(store, &old).await.digest(), old.flight.digest());
        let mut holed = gap.batch(1, 1..=4);
        holed.events.remove(1);
        assert_eq!(store.flush(&[holed]).await.unwrap(), [Flushed::Gap { stored: Seq(4) }]);
    }
}

#[tokio::test]
async fn events_that_cannot_have_happened_keep_only_their_own_flight_out() {
    for test in stores().await {
        let (store, mut odd, good) = (&test.store, Life::new("ODD"), Life::new("GOOD"));
        store.flush(&[odd.all(1)]).await.unwrap();
        let order = odd.grab("u", 2);
        let order = odd.order_ref(order);
        odd.command(&Command::Cancel { order });
        let mut batch = odd.batch(1, 4..=4);
        batch.events[0].seq = Seq(3); // the order was never placed
        batch.events[0].head = None;
        let outcomes = store.flush(&[batch, good.all(1)]).await.unwrap();
        assert!(
            matches!(&outcomes[0], Flushed::Misfit { stored: Seq(2), what } if what.contains("order 3")),
            "{outcomes:?}"
        );
        assert_eq!(outcomes[1], Flushed::Stored);
        assert_eq!(store.cursor(&id("ODD")).await.unwrap().unwrap().seq, Seq(2));
        assert_eq!(restored(store, &odd).await.digest(), odd.flight_at(2).digest());
    }
}

#[tokio::test]
async fn what_happens_to_an_order_within_one_flush_is_one_row() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let no = life.grab("u1", 2);
        let order = life.order_ref(no);
        assert!(life.command(&Command::Cancel { order }));
        let kept = life.grab("u2", 2);
        store.flush(&[life.all(1)]).await.unwrap();
        let tables = store.flight(&life.id()).await.unwrap().unwrap();
        let statuses: Vec<_> = tables.orders.iter().map(|stored| stored.order.status).collect();
        assert_eq!(statuses, [OrderStatus::Cancelled, OrderStatus::Confirmed]);
        assert_eq!(tables.tickets.len(), 68);
        let sold: Vec<_> =
            tables.tickets.iter().filter(|ticket| ticket.status == TicketStatus::Sold).collect();
        assert!(sold.len() == 2 && sold.iter().all(|ticket| ticket.order == Some(kept)), "{sold:?}");
    }
}

#[tokio::test]
async fn the_snapshot_at_any_cursor_is_the_flight_at_that_moment() {
    for test in stores().await {
        let store = test.store.clone();
        let runtime = tokio::runtime::Handle::current();
        let name = test.name;
        tokio::task::spawn_blocking(move || {
            let number = std::cell::Cell::new(0);
            let mut runner = store_support::runner(24);
            let steps = prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..120);
            let cuts = prop::collection::vec(1_u64..40, 1..30);
            runner
                .run(&(steps, cuts), |(steps, cuts)| {
                    number.set(number.get() + 1);
                    let mut life = Life::new(&format!("R{}", number.get()));
                    steps.iter().for_each(|&(kind, a, b)| life.step(kind, a, b));
                    let mut stored = 0;
                    for cut in cuts.into_iter().chain([u64::MAX / 2]) {
                        let to = life.flight.seq().0.min(stored + cut);
                        if to == stored {
                            break;
                        }
                        let batch = life.batch(1, stored + 1..=to);
                        let outcome = runtime.block_on(store.flush(&[batch])).unwrap();
                        prop_assert_eq!(&outcome, &[Flushed::Stored], "{}", name);
                        stored = to;
                        let flight = runtime.block_on(restored(&store, &life));
                        prop_assert_eq!(flight.digest(), life.flight_at(to).digest(), "{} at {}", name, to);
                    }
                    Ok(())
                })
                .unwrap();
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn every_kind_of_event_reaches_the_tables() {
    for test in stores().await {
        let life = life_of("FR1", 1_500);
        let kinds: HashSet<_> = life.events.iter().map(|event| discriminant(&event.event)).collect();
        assert!(kinds.len() >= 13, "{} kinds", kinds.len());
        for from in (1..=life.flight.seq().0).step_by(40) {
            let outcome = test.store.flush(&[life.batch(1, from..=from + 39)]).await.unwrap();
            assert_eq!(outcome, [Flushed::Stored], "{}", test.name);
            let flight = restored(&test.store, &life).await;
            assert_eq!(flight.digest(), life.flight_at(from + 39).digest(), "{} at {from}", test.name);
        }
    }
}

#[tokio::test]
async fn orders_are_listed_newest_first_page_by_page() {
    for test in stores().await {
        let (store, mut lives) = (&test.store, [Life::new("A"), Life::new("B")]);
        for round in 0..20 {
            for life in &mut lives {
                life.grab(if round % 2 == 0 { "even" } else { "odd" }, 1);
                life.wait(if round % 5 == 0 { 1 } else { 0 });
            }
        }
        let cancelled = lives[0].order_ref(OrderNo(5));
        assert!(lives[0].command(&Command::Cancel { order: cancelled }));
        store.flush(&[lives[0].all(1), lives[1].all(1)]).await.unwrap();
        let customer = Some(CustomerId::new("even").unwrap());
        let filters = [
            (OrderFilter::default(), 40),
            (OrderFilter { customer: customer.clone(), ..OrderFilter::default() }, 20),
            (OrderFilter { flight_id: Some(id("A")), ..OrderFilter::default() }, 20),
            (OrderFilter { flight_id: Some(id("B")), customer, ..OrderFilter::default() }, 10),
            (OrderFilter { status: Some(OrderStatus::Cancelled), ..OrderFilter::default() }, 1),
            (OrderFilter { flight_id: Some(id("C")), ..OrderFilter::default() }, 0),
        ];
        for (filter, count) in filters {
            let all = store.orders(&filter, None, 1_000).await.unwrap();
            assert_eq!(all.len(), count, "{filter:?}");
            let key = |stored: &StoredOrder| {
                (stored.order.created_at, stored.order_id.flight_id.clone(), stored.order.no)
            };
            assert!(all.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])), "{filter:?}");
            let mut paged: Vec<StoredOrder> = Vec::new();
            loop {
                let after = paged.last().map(StoredOrder::place);
                let page = store.orders(&filter, after.as_ref(), 7).await.unwrap();
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged, all, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn an_order_is_found_by_its_id_and_not_by_a_guessed_one() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let no = life.grab("u1", 2);
        store.flush(&[life.all(1)]).await.unwrap();
        let order_id = life.flight.order_id(no);
        let found = store.order(&order_id).await.unwrap().unwrap();
        assert_eq!(Some(&found.order), life.flight.order(no));
        assert_eq!(found.currency.as_str(), "TWD");
        assert_eq!(found.record_locator, life.flight.definition().ids.record_locator(no).as_str());
        let guessed = OrderId { order: OrderRef { no, tag: order_id.order.tag ^ 1 }, ..order_id };
        assert_eq!(store.order(&guessed).await.unwrap(), None);
    }
}

#[tokio::test]
async fn five_thousand_orders_and_eight_thousand_seats_go_in_at_once() {
    for test in stores().await {
        let cabins = vec![cabin(CabinClass::Economy, [1, 500], "ABCDEFGH JKLMNOPQ", 1)];
        let (store, mut life) = (&test.store, Life::with_cabins("BIG", cabins));
        let orders = 5_000;
        for number in 0..orders {
            life.grab(&format!("u{number}"), 1);
        }
        let started = std::time::Instant::now();
        assert_eq!(store.flush(&[life.all(1)]).await.unwrap(), [Flushed::Stored]);
        eprintln!("{}: {} events in {:?}", test.name, life.events.len(), started.elapsed());
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest());
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    for test in stores().await {
        let mut life = Life::new("FR1");
        life.grab("u1", 2);
        test.store.flush(&[life.all(1)]).await.unwrap();
        test.beside().await.run("UPDATE orders SET seats = '10A,nonsense'").await;
        let error = test.store.snapshot(&life.id()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::Damaged { flight_id: Some(_), .. }));
        assert!(text.contains("orders FR1 3") && text.contains("seats"), "{text}");
        let order = life.order_ref(OrderNo(3));
        assert!(life.command(&Command::Cancel { order }));
        let outcome = test.store.flush(&[life.batch(1, 4..=4)]).await.unwrap();
        assert!(matches!(outcome[0], Flushed::Misfit { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn names_that_differ_only_in_case_or_accent_are_different() {
    for test in stores().await {
        let (mut upper, mut lower) = (Life::new("FR1-A"), Life::new("FR1-a"));
        for customer in ["anna", "Anna", "ANNA", "änna", "anna 旅客 ✈ 🧳"] {
            upper.grab(customer, 1);
        }
        lower.grab("anna", 1);
        test.store.flush(&[upper.all(1), lower.all(1)]).await.unwrap();
        for life in [&upper, &lower] {
            assert_eq!(restored(&test.store, life).await.digest(), life.flight.digest(), "{}", test.name);
        }
        let filter = |customer: &str| OrderFilter {
            customer: Some(CustomerId::new(customer).unwrap()),
            flight_id: Some(id("FR1-A")),
            ..OrderFilter::default()
        };
        for customer in ["anna", "Anna", "änna", "anna 旅客 ✈ 🧳"] {
            let found = test.store.orders(&filter(customer), None, 10).await.unwrap();
            assert_eq!(found.len(), 1, "{} {customer}", test.name);
        }
    }
}

/// The same in every store: what counts as the same customer (docs/identity.md) must not depend on which one is behind it.
#[tokio::test]
async fn customers_are_compared_byte_by_byte_and_none_ends_with_a_space() {
    // In one form or the other, in another case, behind an accent, of another width or alphabet: all of them others.
    let customers = [
        "a", "A", "\u{e1}", "a\u{301}", "\u{c1}", "\u{ff41}", "\u{430}", "a b", "a\u{a0}b", "a.", "aa",
        "\u{df}", "ss",
    ];
    for test in stores().await {
        let mut life = Life::new("FR1-A");
        for customer in customers {
            life.grab(customer, 1);
        }
        test.store.flush(&[life.all(1)]).await.unwrap();
        for customer in customers {
            let customer = Some(CustomerId::new(customer).unwrap());
            let filter = OrderFilter { customer: customer.clone(), ..OrderFilter::default() };
            let found = test.store.orders(&filter, None, 100).await.unwrap();
            let found: Vec<_> = found.iter().map(|stored| Some(stored.order.customer.clone())).collect();
            assert_eq!(found, [customer], "{}", test.name);
        }
    }
    // MySQL's utf8mb4_bin takes "a " for "a", SQLite does not: so there is nobody called so.
    for text in ["a ", " a", "a\u{a0}", "a\u{3000}", "a\t", "a\n"] {
        assert!(CustomerId::new(text).is_err(), "{text:?}");
    }
}

#[tokio::test]
async fn the_longest_texts_there_can_be_are_stored_whole() {
    for test in stores().await {
        let cabins =
            vec![cabin(CabinClass::PremiumEconomy, [1, 625], "ABCDEFGH JKLMNOPQ", 1_000_000_000_000)];
        let mut life = Life::with_cabins(&"F".repeat(40), cabins);
        let seats = 10_000_u16;
        let mut grab = store_support::grab(
            &"🧳".repeat(32),
            Wanted::Quantity { quantity: seats, together: Together::Any },
        );
        let name = PassengerName::new(&"名".repeat(66)).unwrap();
        grab.passengers = Some((0..seats).map(|_| Some(name.clone())).collect());
        grab.client_reference = Some(Reference::new(&"r".repeat(128)).unwrap());
        grab.idempotency_key = Some(IdempotencyKey::new(&"k".repeat(128)).unwrap());
        assert!(life.command(&Command::Grab(grab)));
        let outcome = test.store.flush(&[life.all(1)]).await.unwrap();
        assert_eq!(outcome, [Flushed::Stored], "{}", test.name);
        assert_eq!(restored(&test.store, &life).await.digest(), life.flight.digest(), "{}", test.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claimers_that_race_each_get_an_epoch_of_their_own() {
    for test in stores().await {
        let claims: Vec<Claim> = (0..40).map(|number| claim(&format!("FR{number}"), 0)).collect();
        let race = |claims: Vec<Claim>| {
            let store = test.store.clone();
            tokio::spawn(async move {
                loop {
                    match store.claim(&claims).await {
                        Ok(claimed) => return claimed,
                        Err(error) => assert!(error.is_transient(), "{error}"),
                    }
                }
            })
        };
        let racers: Vec<_> = (0..4)
            .map(|racer| {
                let mut claims = claims.clone();
                claims.rotate_left(racer * 7);
                race(claims)
            })
            .collect();
        let mut epochs: HashMap<String, Vec<u64>> = HashMap::new();
        for racer in racers {
            for cursor in racer.await.unwrap() {
                epochs.entry(cursor.flight_id.to_string()).or_default().push(cursor.epoch.0);
            }
        }
        assert_eq!(epochs.len(), claims.len());
        for (flight_id, mut epochs) in epochs {
            epochs.sort_unstable();
            assert_eq!(epochs, [1, 2, 3, 4], "{} {flight_id}", test.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_claim_is_answered_the_old_owner_stores_nothing_more() {
    let mut chance = Chance::new();
    for test in stores().await {
        for round in 0..15 {
            let life = Arc::new(life_of(&format!("FR{round}"), 400));
            test.store.flush(&[life.batch(1, 1..=1)]).await.unwrap();
            let (store, old) = (test.store.clone(), Arc::clone(&life));
            let old_owner = tokio::spawn(async move {
                let mut seq = 2;
                while seq <= old.flight.seq().0 {
                    match store.flush(&[old.batch(1, seq..=seq)]).await.as_deref() {
                        Ok([Flushed::Stored | Flushed::AlreadyStored { .. }]) => seq += 1,
                        Ok(outcomes) => {
                            assert_eq!(outcomes, [Flushed::Fenced { owner: Epoch(2) }]);
                            return true;
                        }
                        Err(error) => assert!(error.is_transient(), "{error}"),
                    }
                }
                false
            });
            tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
            let claimed = test.store.claim(&[claim(life.id().as_str(), 2)]).await.unwrap().remove(0);
            let was_fenced = old_owner.await.unwrap();
            let now = test.store.cursor(&life.id()).await.unwrap().unwrap();
            assert_eq!(now, claimed, "{}", test.name);
            assert!(was_fenced || now.seq == life.flight.seq(), "{}", test.name);
            assert_eq!(restored(&test.store, &life).await.digest(), life.flight_at(now.seq.0).digest());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_flush_the_same_events_store_them_once() {
    for test in stores().await {
        let lives: Arc<Vec<Life>> =
            Arc::new((0..10).map(|number| life_of(&format!("FR{number}"), 60)).collect());
        let racers: Vec<_> = (0..3)
            .map(|_| {
                let (store, lives) = (test.store.clone(), Arc::clone(&lives));
                tokio::spawn(async move {
                    for from in (1..200).step_by(10) {
                        let batches: Vec<_> =
                            lives.iter().map(|life| life.batch(1, from..=from + 9)).collect();
                        let batches: Vec<_> =
                            batches.into_iter().filter(|batch| !batch.events.is_empty()).collect();
                        loop {
                            match store.flush(&batches).await {
                                Ok(outcomes) => {
                                    break outcomes.iter().for_each(|outcome| {
                                        let is_fine = matches!(
                                            outcome,
                                            Flushed::Stored | Flushed::AlreadyStored { .. }
                                        );
                                        assert!(is_fine, "{outcome:?}");
                                    });
                                }
                                Err(error) => assert!(error.is_transient(), "{error}"),
                            }
                        }
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.await.unwrap();
        }
        for life in lives.iter() {
            assert_eq!(restored(&test.store, life).await.digest(), life.flight.digest(), "{}", test.name);
        }
    }
}

#[tokio::test]
async fn what_admins_did_is_in_the_audit_and_what_customers_did_is_not() {
    for test in stores().await {
        let mut life = Life::new("FR1");
        life.grab("a", 2);
        assert!(life.command(&Command::PauseSale));
        assert!(life.command(&Command::Block(["12A".parse().unwrap()].into_iter().collect())));
        test.store.flush(&[life.all(1)]).await.unwrap();
        let mut beside = test.beside().await;
        for action in ["'create'", "'pause'", "'block'"] {
            let sql = format!("DELETE FROM admin_audit WHERE flight_id = 'FR1' AND action = {action}");
            assert_eq!(beside.run_text(&sql).await, 1, "{action} on {}", test.name);
        }
        beside.run("DELETE FROM admin_audit WHERE action = 'open'").await;
        assert_eq!(beside.run("DELETE FROM admin_audit").await, 0, "nothing else on {}", test.name);
    }
}

#[tokio::test]
async fn payments_revivals_and_keys_are_in_the_tables() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let hold = PolicyChange { hold_seconds: Some(60), ..PolicyChange::default() };
        assert!(life.command(&Command::ChangePolicy(hold)));
        let (paying, late) = (life.grab("a", 2), life.grab("b", 1));
        let (pay, confirm) = (Command::Pay { order: life.order_ref(paying) }, life.payment(late, "p"));
        assert!(matches!(life.command_under("pay", &pay), Ok(Decision::Record(_))));
        store.flush(&[life.all(1)]).await.unwrap();
        life.wait(60_000);
        assert!(matches!(life.command_under("late", &confirm), Ok(Decision::Record(_))));
        assert!(matches!(life.events.last().unwrap().event, Event::OrderRevived { .. }));
        store.flush(&[life.all(1)]).await.unwrap();
        let mut flight = restored(store, &life).await;
        assert_eq!(flight.digest(), life.flight.digest(), "{}", test.name);
        assert!(flight.order(paying).unwrap().payment_begun_at().is_some());
        let tables = store.flight(&life.id()).await.unwrap().unwrap();
        let ticket = tables.tickets.iter().find(|ticket| ticket.order == Some(late)).unwrap();
        assert_eq!(ticket.status, TicketStatus::Sold);
        // What comes back knows its keys.
        let (key, by) = (IdempotencyKey::new("late").unwrap(), AdminName::new("ann").ok());
        let again = flight.decide_under(by.as_ref(), &key, confirm.fingerprint(), &confirm, flight.last_at());
        assert_eq!(again, Ok(Decision::Replayed(Some(late))));
        let other = flight.decide_under(by.as_ref(), &key, pay.fingerprint(), &pay, flight.last_at());
        assert_eq!(other, Err(Refusal::IdempotencyKeyReused));
        // A day later they are forgotten, and after some events more they leave the tables, too.
        life.wait(25 * 3_600_000);
        while life.flight.seq().0 < 256 {
            let open = life.flight.sale().switch == SaleSwitch::Open;
            assert!(life.command(if open { &Command::PauseSale } else { &Command::OpenSale }));
        }
        assert!(matches!(life.command_under("late", &Command::CloseSale), Ok(Decision::Record(_))));
        store.flush(&[life.all(1)]).await.unwrap();
        flight = restored(store, &life).await;
        assert_eq!(flight.digest(), life.flight.digest(), "{}", test.name);
        let mut beside = test.beside().await;
        assert_eq!(beside.run("DELETE FROM requests WHERE idempotency_key = 'pay'").await, 0);
        assert_eq!(beside.run("DELETE FROM requests WHERE idempotency_key = 'late' AND seq = 257").await, 1);
    }
}

#[tokio::test]
async fn what_came_of_a_request_comes_back_with_its_key() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        life.grab("a", 3);
        life.grab("b", 2);
        let plan = SeatPlan::WithoutRows { first: 10, last: 11 };
        let withdraw = Command::ChangeSeatPlan { plan, cancel_stranded: true };
        for (key, command) in [
            ("rows", &withdraw),
            ("close", &Command::CloseForGood),
            ("again", &Command::CloseForGood),
            ("pause", &Command::PauseSale),
        ] {
            assert!(matches!(life.command_under(key, command), Ok(Decision::Record(_))), "{key}");
            store.flush(&[life.all(1)]).await.unwrap();
            assert_eq!(restored(store, &life).await.digest(), life.flight.digest(), "{}, {key}", test.name);
        }
        let outcomes: Vec<_> = life.flight.requests().map(|request| request.outcome.clone()).collect();
        assert!(matches!(outcomes[0], Outcome::Reseated(_)), "{outcomes:?}");
        assert_eq!(outcomes[1..], [Outcome::Closed { cancelled: 2 }, Outcome::Shown, Outcome::Shown]);
    }
}

#[tokio::test]
async fn money_that_came_for_nothing_is_a_refund_and_the_order_stays_as_it_was() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let hold = PolicyChange { hold_seconds: Some(60), ..PolicyChange::default() };
        assert!(life.command(&Command::ChangePolicy(hold)));
        let (late, twice) = (life.grab("a", 2), life.grab("b", 1));
        assert!(life.command(&life.payment(twice, "first")));
        let second = life.payment(twice, "second");
        assert!(life.command(&second));
        life.wait(60_000);
        assert!(life.command(&Command::CloseSale));
        store.flush(&[life.all(1)]).await.unwrap();
        let stored = life.flight.seq().0;
        let too_late = life.payment(late, "late");
        assert!(life.command(&too_late));
        assert!(!life.command(&too_late), "it is noted once");
        store.flush(&[life.batch(1, stored + 1..=u64::MAX)]).await.unwrap();
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest(), "{}", test.name);
        let refunds = store.refunds(&life.id(), None, 10).await.unwrap();
        let shown: Vec<_> = refunds
            .iter()
            .map(|refund| {
                let reference = refund.payment_reference.as_ref().unwrap().as_str();
                (refund.order_id.order.no, reference, refund.amount, refund.reason, refund.seats.len())
            })
            .collect();
        let cost = |no| life.flight.order(no).unwrap().total;
        let expected = [
            (twice, "second", cost(twice), RefundReason::PaidAlready, 0),
            (late, "late", cost(late), RefundReason::PaidTooLate, 0),
        ];
        assert_eq!(shown, expected, "{}", test.name);
        // When the flight has forgotten the order, it may hear of one payment twice before the store has it.
        let ended = EndedLongAgo {
            status: OrderStatus::Expired,
            total: cost(late),
            payment_reference: None,
            returned: Vec::new(),
        };
        let Command::Confirm { order, payment: Some(mut payment) } = too_late else { panic!("a payment") };
        payment.reference = Reference::new("much later").unwrap();
        let stored = life.flight.seq().0;
        life.wait(30 * 3_600_000);
        assert!(life.command(&Command::OpenSale));
        assert!(life.flight.order(late).is_none());
        let much_later = Command::ReturnPayment { order, payment, ended };
        assert!(life.command(&much_later) && life.command(&much_later));
        store.flush(&[life.batch(1, stored + 1..=u64::MAX)]).await.unwrap();
        let refunds = store.refunds(&life.id(), None, 10).await.unwrap();
        let references = refunds.iter().map(|refund| refund.payment_reference.as_ref().unwrap().as_str());
        assert_eq!(references.collect::<Vec<_>>(), ["second", "late", "much later"], "{}", test.name);
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest(), "{}", test.name);
    }
}

#[tokio::test]
async fn what_an_admin_does_in_a_customers_place_is_in_the_audit_and_who_was_served_is_known() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let all = life.grab("u1", 68);
        life.join("u2", 3, Accept::All);
        let cancel = Command::Cancel { order: life.order_ref(all) };
        assert!(matches!(life.command_under("k", &cancel), Ok(Decision::Record(_))), "by the admin `ann`");
        store.flush(&[life.all(1)]).await.unwrap();
        let changes = store.changes(&life.id(), Seq(0), Seq(u64::MAX >> 1), 100).await.unwrap();
        let cancelled = changes.iter().find_map(|change| match change {
            StoredChange::Admin(row) if row.action == "cancel_order" => Some(row),
            _ => None,
        });
        let cancelled = cancelled.unwrap_or_else(|| panic!("{}: {changes:?}", test.name));
        assert_eq!((cancelled.admin.as_deref(), cancelled.order_no()), (Some("ann"), Some(all)));
        let by_waiting: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                StoredChange::Placed(stored, entry) => Some((stored.order.no == all, entry.is_some())),
                _ => None,
            })
            .collect();
        assert_eq!(by_waiting, [(true, false), (false, true)], "{}", test.name);
    }
}

#[tokio::test]
async fn a_waitlist_is_one_row_a_party_and_comes_back_as_it_was() {
    for test in stores().await {
        let (store, mut life) = (&test.store, Life::new("FR1"));
        let all = life.grab("u1", 68);
        let first = life.join("u2", 3, Accept::AllTogether);
        let second = life.join("u3", 5, Accept::AtLeast(2));
        store.flush(&[life.all(1)]).await.unwrap();
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest());
        let stored = life.flight.seq().0;
        let order = life.order_ref(all);
        assert!(life.command(&Command::Cancel { order }), "{}", test.name);
        assert_eq!(life.flight.waiting(), 0, "both were served");
        let third = life.join("u4", 100, Accept::All);
        let outcome = store.flush(&[life.batch(1, stored + 1..=u64::MAX)]).await.unwrap();
        assert_eq!(outcome, [Flushed::Stored], "{}", test.name);
        assert_eq!(restored(store, &life).await.digest(), life.flight.digest());
        let tables = store.flight(&life.id()).await.unwrap().unwrap();
        let rows: Vec<_> = tables.waitlist.iter().map(|row| (row.entry.no, row.entry.status)).collect();
        let order_of = |place: u64| WaitlistStatus::Served(OrderNo(stored + 1 + place));
        let expected = [(first, order_of(1)), (second, order_of(2)), (third, WaitlistStatus::Waiting)];
        assert_eq!(rows, expected, "{}", test.name);
        let held: Vec<_> =
            tables.tickets.iter().filter(|ticket| ticket.status == TicketStatus::Held).collect();
        assert_eq!(held.len(), 8, "an order from the waitlist has its tickets: {held:?}");
    }
}
