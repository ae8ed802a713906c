//! `docs/schema.md` against the migrations: all of them are applied to a fresh SQLite and a fresh MariaDB, and what the
//! databases then say of their tables is the page. Never says what a column means anywhere but in `MEANINGS`.

mod store_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};
use store_support::Beside;

const HEAD: &str = "\
# Database schema

<!-- Generated from migrations/ by `UPDATE=1 cargo test -p farerush-persistence --test schema_doc`. Do not edit. -->

What the store has after all migrations, as SQLite and MariaDB themselves say it, applied to empty databases by the tests. MySQL
has the same types, but for what it calls them. `farerush migrate` applies what is missing and says what it did; a start does the
same. A migration that was released is never changed: a new one is added, in `migrations/sqlite` and in `migrations/mysql`, under
the next number.

Who reads these tables may rely on this:

- Money is in minor units of its currency, times are milliseconds since 1970 (UTC), seats read like `12A`.
- Rows are only ever written together with their flight's row in `flight_cursor`, in one transaction: what one transaction
  reads of a flight is the flight as it was after the event `seq`. The tables are some milliseconds behind what was
  acknowledged, in a rush up to some seconds.
- Texts are compared byte by byte: `u1` is not `U1`.

And must leave this alone: **nobody but Farerush writes here.** The flight is what the journal says; a row that somebody else
has changed is a difference in `farerush verify`, and is written over, or keeps its flight from coming up. Tables, columns and
indices of your own are not looked at, but a second unique key on these tables breaks the writing (`ON DUPLICATE KEY UPDATE`
changes whichever row it hits).
";

/// What tables (`orders`) and columns (`orders.status`) mean: the one place where it is written.
const MEANINGS: &[(&str, &str)] = &[
    ("flights", "What is sold: a flight, its cabins and the rules of its sale."),
    (
        "flights.eras",
        "Its owners so far, as `from:epoch:secret:nonce` with spaces between: the owner's first event, its epoch, what the \
         secret is called that its ids are made with, and what tells it from any other owner.",
    ),
    (
        "orders.proof",
        "The chain's head after the event that last changed it (`proof` of the order in answers).",
    ),
    (
        "flight_cursor.head",
        "The chain's head after the event `seq`: it stands for all that happened up to there.",
    ),
    (
        "flight_heads",
        "The chain's heads, event by event, by which receipts are checked (`farerush verify --receipts`).",
    ),
    ("flight_heads.flight_id", "The flight."),
    ("flight_heads.first_seq", "The event that the first of these heads stands for; the others follow."),
    ("flight_heads.heads", "Heads of the events of one flush, 32 hexadecimal digits each."),
    (
        "id_secrets",
        "What the secrets are called that ids in these tables were made with; the secrets are the servers' alone.",
    ),
    ("id_secrets.secret", "16 hexadecimal digits of a hash."),
    ("id_secrets.settled", "1: all rows have the ids they shall have."),
    ("flights.flight_id", "The flight, such as `FR101-20261224`."),
    ("flights.flight_number", "As airlines write it, such as `FR101`."),
    ("flights.origin", "Where it starts, an IATA code."),
    ("flights.destination", "Where it lands, an IATA code."),
    ("flights.departs_at", "When it departs."),
    ("flights.aircraft", "The named template that its cabins were made from, if it was one."),
    ("flights.currency", "Of all its fares, an ISO 4217 code."),
    (
        "flights.cabins",
        "JSON: `[{\"cabin_class\",\"rows\":[first,last],\"layout\",\"fare\"}]`, in the order they were added.",
    ),
    (
        "flights.salt",
        "What tells it from another flight that is made under the same id: 64 bits, as a signed number. It goes into what ids \
         are made of, and is no secret.",
    ),
    (
        "flights.sale_switch",
        "What the admin last set: `scheduled` (it follows its times), `open`, `paused`, `closed`.",
    ),
    ("flights.opens_at", "When a scheduled sale opens by itself, if it does."),
    ("flights.closes_at", "When the sale closes by itself, if it does."),
    ("flights.max_seats_per_order", "Most seats of one order."),
    ("flights.max_seats_per_customer", "Most seats of one customer, in all live orders together."),
    ("flights.hold_seconds", "How long an order is held for payment; 0: a grab is confirmed at once."),
    ("flights.created_at", "When it was created."),
    ("flights.payment_grace_seconds", "How long a payment that is under way stops a hold's deadline."),
    (
        "flights.forgotten_through",
        "What ended by this event or before was forgotten before its day was over; 0: nothing was.",
    ),
    (
        "flights.closes_before_minutes",
        "How long before departure the sale closes by itself; 0: when the flight leaves.",
    ),
    (
        "flights.origin_time_zone",
        "The time zone of the origin, an IANA name; none in flights of before there was one.",
    ),
    ("tickets", "Seats, one row each, whoever has them."),
    ("tickets.flight_id", "Whose seat."),
    ("tickets.seat", "Which, such as `12A`."),
    ("tickets.row_no", "Its row, a number, to sort by."),
    ("tickets.letter", "Its letter."),
    ("tickets.cabin_class", "`first`, `business`, `premium_economy`, `economy`."),
    ("tickets.fare", "What its cabin costs."),
    ("tickets.status", "`free`, `held`, `sold`, or `blocked` (taken off sale by an admin)."),
    ("tickets.order_no", "The order that has it; empty unless it is held or sold."),
    ("tickets.passenger", "Who flies on it, if that was said."),
    ("orders", "Orders, live and ended; none is ever removed."),
    ("orders.flight_id", "Whose seats."),
    ("orders.order_no", "Its number: the seq of the event that placed it."),
    ("orders.order_id", "Its id outside: the flight's id, the number and a tag that cannot be guessed."),
    ("orders.record_locator", "The six characters that a traveller reads out; unique within a flight."),
    ("orders.customer_id", "Who ordered."),
    ("orders.status", "`held`, `confirmed`, `cancelled`, `expired`."),
    ("orders.seats", "`12A,12B`; of an ended order the ones it had last."),
    ("orders.quantity", "How many they are."),
    ("orders.total", "What they cost together."),
    ("orders.currency", "In which currency."),
    ("orders.hold_expires_at", "Until when it is held, or was to be paid; empty if it never was held."),
    ("orders.created_at", "When it was placed."),
    ("orders.updated_at", "When it was last changed."),
    ("orders.changed_by", "The seq of the event that last changed it: `seq` of the order outside."),
    ("orders.passengers", "JSON: names by place in `seats`, null where nobody was named."),
    ("orders.client_reference", "What the customer's program calls it."),
    ("orders.payment_reference", "What it was confirmed with."),
    (
        "orders.idempotency_key",
        "The key it was placed under. Not unique: a key may be used again a day after its order has ended. The flight guards it.",
    ),
    (
        "orders.fingerprint",
        "A hash of what was asked for under that key: 64 bits, as a signed number. Another body under the same key is told by it.",
    ),
    ("orders.payment_begun_at", "When its payment began, which moved its deadline once."),
    (
        "orders.returned_payments",
        "JSON: references of payments that came for nothing, in the order they came.",
    ),
    ("flight_cursor", "How far the rows of a flight have come, and who may write them."),
    ("flight_cursor.flight_id", "Which flight."),
    (
        "flight_cursor.epoch",
        "Who may write: counted up by each process that takes the flight over, so that one that has lost it writes no more.",
    ),
    (
        "flight_cursor.seq",
        "The last event that is in the rows; 0 of a flight that was claimed, and never created.",
    ),
    ("flight_cursor.last_at", "When that event was decided."),
    ("admin_audit", "What admins did to a flight, a row for each event they caused."),
    ("admin_audit.flight_id", "Which flight."),
    ("admin_audit.seq", "The event's seq."),
    ("admin_audit.at", "When it was decided."),
    ("admin_audit.action", "What was done."),
    ("admin_audit.details", "JSON: what was asked for."),
    ("admin_audit.admin", "Who asked: the name of the token."),
    ("requests", "Idempotency keys of requests other than grabs, kept for a day."),
    ("requests.flight_id", "Of which flight."),
    (
        "requests.owner",
        "Whose key: `customer:` and the customer's id, `admins`, or nothing for those from before keys had owners.",
    ),
    ("requests.idempotency_key", "The key."),
    ("requests.fingerprint", "A hash of what was asked for under that key: 64 bits, as a signed number."),
    ("requests.seq", "The event that followed from the request."),
    ("requests.at", "When that was decided."),
    ("requests.order_no", "The order it was about, if it was about one."),
    (
        "requests.outcome",
        "JSON: what came of it, where nothing else shows that: `{\"closed\":{\"cancelled\"}}`, `{\"reseated\":{...}}`.",
    ),
    ("waitlist", "Parties that wait for seats, and those that did: a row for each."),
    ("waitlist.flight_id", "Of which flight."),
    ("waitlist.entry_no", "The seq of the event that put the party there; the line's order."),
    ("waitlist.waitlist_id", "The entry's public id."),
    ("waitlist.customer_id", "Who waits."),
    ("waitlist.party_size", "For how many seats."),
    ("waitlist.accept", "`all_together`, `all` or `at_least`."),
    ("waitlist.at_least", "The fewest seats that the party takes; only with `at_least`."),
    ("waitlist.cabin_class", "Only in this class, if one was named."),
    ("waitlist.expires_at", "Until when the party waits; until the flight leaves, if nothing is said."),
    ("waitlist.client_reference", "The client's own reference."),
    ("waitlist.status", "`waiting`, `served`, `left` or `expired`."),
    ("waitlist.order_no", "The order it got, if it was served."),
    ("waitlist.created_at", "Since when it waits."),
    ("waitlist.updated_at", "When the row last changed."),
    ("waitlist.changed_by", "Seq of the event that last changed it."),
    (
        "refunds",
        "Money to be given back: a row for each event by which an order that had been confirmed ended, and for each payment that came for nothing.",
    ),
    ("refunds.flight_id", "Whose."),
    ("refunds.seq", "The event."),
    ("refunds.order_no", "The order's number."),
    ("refunds.order_id", "The order's public id."),
    ("refunds.record_locator", "What its traveller reads out."),
    ("refunds.customer_id", "Whose order it is."),
    ("refunds.seats", "The seats that it lost, such as `12A,12B`; empty where only money came."),
    ("refunds.amount", "How much goes back."),
    ("refunds.currency", "Of this currency (ISO 4217)."),
    (
        "refunds.payment_reference",
        "The payment that had confirmed it (none where grabs were confirmed at once), or that came for nothing.",
    ),
    ("refunds.at", "When the event was decided."),
    (
        "refunds.reason",
        "`cancelled`; `seats_lost`: a new seat plan had no place for the order; `paid_too_late`, `paid_already`, \
         `paid_cancelled`: the payment came for nothing.",
    ),
    (
        "journal_owner",
        "Which journal the store belongs to: one row, written by the first start. A gateway with another journal is refused.",
    ),
    ("journal_owner.place", "Always 1."),
    ("journal_owner.journal_id", "The id of the journal, which is drawn when it is made."),
    ("journal_owner.journal", "Where it is, for people."),
    ("journal_owner.holder", "The process that has it, where only one can have it; else empty."),
    (
        "journal_owner.beats",
        "Counted up once a second by each process that uses it; in SQLite, by each start.",
    ),
    (
        "webhook_cursor",
        "How far webhooks were delivered, a row a flight; written apart from the flight's other rows. Without its rows, webhooks \
         begin anew at the flights' present events.",
    ),
    (
        "webhook_cursor.flight_id",
        "Which flight; empty: webhooks were configured once, so that a flight without a row was created since.",
    ),
    ("webhook_cursor.seq", "The last event of which everything was delivered."),
    ("webhook_cursor.free_seats", "Seats on sale after that event, if that is known."),
];

const INDEX_MEANINGS: &[(&str, &str)] = &[
    ("orders_by_customer", "A customer's orders, newest first."),
    ("orders_by_locator", "Who reads out a record locator."),
    ("orders_by_status", "Orders in a status, newest first."),
    ("orders_by_time", "All orders, newest first."),
];

/// A table of sqlx's own, which is not described further.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// A table as a database describes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    columns: Vec<Column>,
    key: Vec<String>,
    /// Name, columns, and whether it is unique.
    indices: BTreeMap<String, (Vec<String>, bool)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    may_be_null: bool,
}

type Tables = BTreeMap<String, Table>;

fn sql(text: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(text)
}

async fn of_sqlite(connection: &mut SqliteConnection) -> Tables {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut tables = Tables::new();
    for name in names.into_iter().filter(|name| name != MIGRATIONS_TABLE) {
        let mut table = Table::default();
        let columns =
            sqlx::query(sql(format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')")))
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let mut key: Vec<(i64, String)> = Vec::new();
        for row in columns {
            let column: String = row.get(0);
            let place: i64 = row.get(3);
            if place > 0 {
                key.push((place, column.clone()));
            }
            table.columns.push(Column {
                name: column,
                kind: row.get(1),
                may_be_null: row.get::<i64, _>(2) == 0,
            });
        }
        key.sort();
        table.key = key.into_iter().map(|(_, column)| column).collect();
        let indices = sqlx::query(sql(format!(
            "SELECT name, \"unique\" FROM pragma_index_list('{name}') WHERE origin = 'c'"
        )))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        for row in indices {
            let index: String = row.get(0);
            let columns = sqlx::query_scalar(sql(format!(
                "SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"
            )))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
            table.indices.insert(index, (columns, row.get::<i64, _>(1) == 1));
        }
        tables.insert(name, table);
    }
    tables
}

async fn of_mysql(connection: &mut MySqlConnection) -> Tables {
    // As text, because servers differ in what type they give these columns.
    let columns = sqlx::query(
        "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(data_type AS CHAR),
                CAST(character_maximum_length AS CHAR), CAST(is_nullable AS CHAR)
         FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut tables = Tables::new();
    for row in columns {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        if table == MIGRATIONS_TABLE {
            continue;
        }
        let kind = row.get::<String, _>(2).to_uppercase();
        let kind = match row.get::<Option<String>, _>(3) {
            Some(length) if kind == "VARCHAR" => format!("{kind}({length})"),
            _ => kind,
        };
        let may_be_null = row.get::<String, _>(4) == "YES";
        tables.entry(table).or_default().columns.push(Column { name: column, kind, may_be_null });
    }
    let indices = sqlx::query(
        "SELECT CAST(table_name AS CHAR), CAST(index_name AS CHAR), CAST(column_name AS CHAR), CAST(non_unique AS CHAR)
         FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for row in indices {
        let (table, index, column): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let Some(table) = tables.get_mut(&table) else { continue };
        if index == "PRIMARY" {
            table.key.push(column);
            continue;
        }
        let known = table.indices.entry(index).or_default();
        known.0.push(column);
        known.1 = row.get::<String, _>(3) == "0";
    }
    tables
}

fn meaning<'a>(of: &str, all: &[(&'a str, &'a str)]) -> &'a str {
    let found = all.iter().find(|(name, _)| *name == of);
    found
        .unwrap_or_else(|| {
            panic!("{of} is not described: add it to the meanings in persistence/tests/schema_doc.rs")
        })
        .1
}

fn in_code(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The tables in the order of their meanings, which is the order in which one wants to read them.
fn page(sqlite: &Tables, mysql: &Tables) -> String {
    let mut page = HEAD.to_owned();
    for (name, meaning_of_table) in MEANINGS.iter().filter(|(name, _)| !name.contains('.')) {
        let (Some(one), Some(other)) = (sqlite.get(*name), mysql.get(*name)) else {
            panic!("the meanings speak of {name}, which is no table");
        };
        page.push_str(&format!("\n## {name}\n\n{meaning_of_table}\n\n"));
        page.push_str("| column | SQLite | MySQL, MariaDB | empty | meaning |\n|---|---|---|---|---|\n");
        for (column, its_twin) in one.columns.iter().zip(&other.columns) {
            assert_eq!(
                (&column.name, column.may_be_null),
                (&its_twin.name, its_twin.may_be_null),
                "{name} is not the same in SQLite and MySQL"
            );
            let may = if column.may_be_null { "yes" } else { "" };
            let means = meaning(&format!("{name}.{}", column.name), MEANINGS);
            page.push_str(&format!(
                "| `{}` | {} | {} | {may} | {means} |\n",
                column.name, column.kind, its_twin.kind
            ));
        }
        assert_eq!(
            (one.columns.len(), &one.key, &one.indices),
            (other.columns.len(), &other.key, &other.indices)
        );
        page.push_str(&format!("\nPrimary key: {}.\n", in_code(&one.key)));
        for (index, (columns, is_unique)) in &one.indices {
            let word = if *is_unique { "Unique index" } else { "Index" };
            let means = meaning(index, INDEX_MEANINGS);
            page.push_str(&format!("\n{word} `{index}`: {}. {means}\n", in_code(columns)));
        }
    }
    page.push_str(&format!(
        "\n## {MIGRATIONS_TABLE}\n\nWhich migrations were applied, with a checksum of each; kept by the library (sqlx).\n"
    ));
    page
}

fn check(file: &Path, generated: &str) {
    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        return fs::write(file, generated).unwrap();
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    let mut lines = found.lines().chain([""]).zip(generated.lines().chain([""])).enumerate();
    if let Some((number, (is, must))) = lines.find(|(_, (is, must))| is != must) {
        panic!(
            "docs/schema.md is not what the migrations make, first in line {}:\n  is   {is}\n  must {must}\n\
             run `UPDATE=1 cargo test -p farerush-persistence --test schema_doc` and look at what changed",
            number + 1
        );
    }
    assert_eq!(
        found.len(),
        generated.len(),
        "docs/schema.md has more or fewer lines than it must; run with UPDATE=1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_schema_is_what_the_migrations_make() {
    let mut described = Vec::new();
    for test in store_support::stores().await {
        described.push(match test.beside().await {
            Beside::Sqlite(mut connection) => of_sqlite(&mut connection).await,
            Beside::MySql(mut connection) => of_mysql(&mut connection).await,
        });
    }
    let [sqlite, mysql] = described.try_into().unwrap();
    let names = |tables: &Tables| tables.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&sqlite), names(&mysql));
    for name in sqlite.keys() {
        meaning(name, MEANINGS);
    }
    for (name, _) in MEANINGS.iter().filter(|(name, _)| name.contains('.')) {
        let (table, column) = name.split_once('.').unwrap();
        let is_there =
            sqlite.get(table).is_some_and(|table| table.columns.iter().any(|known| known.name == column));
        assert!(is_there, "the meanings speak of {name}, which is no column");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema.md");
    check(&file, &page(&sqlite, &mysql));
}
