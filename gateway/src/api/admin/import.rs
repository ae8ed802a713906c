//! `POST /v1/admin/flights/import`: many flights from one file, all of them or none.
//! Never creates a flight by itself: the engine does, in one round of the journal.

pub mod lines;
pub mod others;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use farerush_engine::actor::{CreateAllError, CreateError, Located};
use farerush_engine::flight::decide::DEPARTED;
use farerush_engine::flight::requests::{fingerprint_of_creation, fingerprint_of_import};
use farerush_engine::flight::{AdminName, Cause, Fingerprint, FlightId};
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Rejection};

use self::lines::{Kind, Line, Mistakes};
use self::others::{Under, print, was_created_by};
use crate::api::grab;
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::flights::Flights;
use crate::parts::other_servers::others::Others;
use crate::wire::body::{self, BodyLimits};
use crate::wire::idempotency::GivenKey;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;

/// How long the creation of a whole file is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said about a file of another type.
const TYPES: &str = "Nothing was done: send the file as JSON lines, with `Content-Type: application/x-ndjson`, or as \
                     CSV, with `Content-Type: text/csv`.";

/// What imports need.
pub struct Imports {
    /// Where new flights go.
    pub flights: Arc<Flights>,
    /// Largest file, in bytes.
    pub bytes_max: usize,
    /// The limits of other bodies, of which the time holds here, too.
    pub body: BodyLimits,
    /// Those who may have flights of a file.
    pub others: Others,
    /// Whose turn it is: one at a time.
    pub turn: Arc<Semaphore>,
}

/// A file that has arrived. While it is here, no other one is taken: each may be large.
#[derive(Debug)]
pub struct File {
    kind: Kind,
    bytes: Bytes,
    _turn: OwnedSemaphorePermit,
}

/// Takes the request's body as a file of flights.
pub fn file(
    imports: &Arc<Imports>,
) -> impl Filter<Extract = (Result<File, Problem>,), Error = Rejection> + Clone + use<> {
    let imports = imports.clone();
    warp::any()
        .map(move || imports.clone())
        .and(warp::header::optional::<String>("content-type"))
        .and(warp::header::optional::<u64>("content-length"))
        .and(warp::body::stream())
        .then(|imports: Arc<Imports>, media_type: Option<String>, length, stream| async move {
            receive(&imports, media_type.as_deref(), length, stream).await
        })
}

async fn receive<B: Buf>(
    imports: &Imports,
    media_type: Option<&str>,
    length: Option<u64>,
    stream: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<File, Problem> {
    let name =
        media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = match name.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Kind::JsonLines,
        "text/csv" => Kind::Csv,
        _ => return Err(Problem::new(Code::UnsupportedMediaType, TYPES)),
    };
    let turn = imports.turn.clone().try_acquire_owned();
    let turn = turn.map_err(|_| Problem::overloaded("another import is under way", 2))?;
    let limits = BodyLimits { bytes_max: imports.bytes_max, ..imports.body };
    Ok(File { kind, bytes: body::whole(length, stream, limits).await?, _turn: turn })
}

/// What happens to a flight that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// Its line is a bad one.
    Refuse,
    /// Nothing, if it is the same flight.
    Skip,
}

/// `POST /v1/admin/flights/import`
pub async fn import(
    by: Admin,
    imports: Arc<Imports>,
    key: Option<GivenKey>,
    raw_query: String,
    file: Result<File, Problem>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let yes = |text: &str| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    };
    let dry_run = query.take("dry_run", yes).unwrap_or(false);
    let existing = query.take("existing", |text| match text {
        "refuse" => Ok(Existing::Refuse),
        "skip" => Ok(Existing::Skip),
        _ => Err("must be one of refuse, skip"),
    });
    query.finish()?;
    let key = GivenKey::checked(key)?;
    let File { kind, bytes, _turn } = file?;
    // Ten thousand lines are too much work for a thread on which others wait.
    let flights = &imports.flights;
    let now = flights.now();
    let read = tokio::task::spawn_blocking(move || {
        let mut mistakes = Mistakes::default();
        lines::read(kind, &bytes, now, &mut mistakes).map(|lines| (lines, mistakes))
    });
    let broken =
        |_| Problem::new(Code::Internal, "Nothing was done: reading the file failed, and the log says more.");
    let (lines, mut mistakes) = read.await.map_err(broken)??;
    let existing = existing.unwrap_or(Existing::Refuse);
    let idempotency = key.map(|key| (key, fingerprint(&lines, existing)));
    let Sorted { new, before, skipped } =
        sort_out(&imports, lines, existing, idempotency.as_ref(), &mut mistakes).await?;
    mistakes.check()?;
    let is_news = !new.is_empty();
    let mut ids = before;
    ids.extend(new.iter().map(|line| line.flight.definition.flight_id.clone()));
    if !dry_run && is_news {
        create(flights, &by.name, idempotency.as_ref(), new).await?;
    }
    let mut json = Json::with_capacity(64 + 32 * ids.len());
    json.open().key("dry_run").boolean(dry_run);
    json.key("created").number(if dry_run { 0 } else { ids.len() as u64 });
    json.key("skipped").number(skipped).key("flights").open_list();
    for id in &ids {
        json.plain(id);
    }
    json.close_list().close();
    let status = if is_news && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    let was_replayed = idempotency.is_some() && !is_news && !ids.is_empty();
    Ok(grab::marked(render::response(status, json), was_replayed))
}

/// What becomes of a file's lines.
#[derive(Default)]
struct Sorted {
    /// To be created.
    new: Vec<Line>,
    /// Created by the same request before, under the same key.
    before: Vec<FlightId>,
    /// How many others are there already.
    skipped: u64,
}

/// Finds out which flights are to be created; names those that cannot be.
async fn sort_out(
    imports: &Imports,
    lines: Vec<Line>,
    existing: Existing,
    asked: Option<&Under>,
    mistakes: &mut Mistakes,
) -> Result<Sorted, Problem> {
    let flights = &imports.flights;
    flights.all_have_come().await?;
    let now = flights.now();
    let mut seen: HashMap<FlightId, u64> = HashMap::with_capacity(lines.len());
    let mut sorted = Sorted::default();
    let (mut before, mut there, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let wanted = &line.flight.definition;
        if let Some(first) = seen.insert(wanted.flight_id.clone(), line.number) {
            let message = format!("{} is in line {first} already", wanted.flight_id);
            mistakes.add(line.number, "flight_id", message);
            continue;
        }
        let others_count = asked.is_some() || existing == Existing::Skip;
        match flights.engine.find(&wanted.flight_id) {
            Located::Nobody if flights.other_servers.has(&wanted.flight_id).await? => match others_count {
                true => elsewhere.push(line),
                false => exists(&line, mistakes),
            },
            Located::Nobody if wanted.departs_at <= now => mistakes.add(line.number, "departs_at", DEPARTED),
            Located::Nobody => sorted.new.push(line),
            Located::Here(flight) if was_created_by(flights, &flight, asked).await? => {
                before.push((line.number, wanted.flight_id.clone()));
            }
            Located::Here(flight) => {
                let found = print(&flight.view().definition, wanted.cabins.len());
                there.push((line, found));
            }
            Located::There if others_count && flights.other_servers.is_shared() => elsewhere.push(line),
            Located::There | Located::Quarantined { .. } => exists(&line, mistakes),
        }
    }
    let wanted =
        |line: &Line| (line.flight.definition.flight_id.clone(), line.flight.definition.cabins.len());
    let wanted: Vec<_> = elsewhere.iter().map(wanted).collect();
    let known = others::ask(&imports.others, flights, &wanted, asked).await?;
    for line in elsewhere {
        match known.get(&line.flight.definition.flight_id) {
            Some(known) if known.is_of_request => {
                before.push((line.number, line.flight.definition.flight_id.clone()));
            }
            known => there.push((line, known.and_then(|known| known.print))),
        }
    }
    before.sort_unstable_by_key(|(number, _)| *number);
    sorted.before = before.into_iter().map(|(_, flight_id)| flight_id).collect();
    there.sort_unstable_by_key(|(line, _)| line.number);
    for (line, found) in there {
        let wanted = &line.flight.definition;
        if existing == Existing::Refuse {
            exists(&line, mistakes);
        } else if !sorted.before.is_empty()
            || (found.is_some() && found == print(wanted, wanted.cabins.len()))
        {
            // Where the file was imported before, under the same key, they were passed over then, whatever has become
            // of them since.
            sorted.skipped += 1;
        } else {
            let message = format!("{} exists, and is another flight than this", wanted.flight_id);
            mistakes.add(line.number, "flight_id", message);
        }
    }
    Ok(sorted)
}

/// Of what the whole file says, and of what is to happen to flights that are there: what makes it the same request.
fn fingerprint(lines: &[Line], existing: Existing) -> Fingerprint {
    let of_line =
        |line: &Line| fingerprint_of_creation(&line.flight.definition, &line.flight.policy, line.flight.open);
    let flights: Vec<Fingerprint> = lines.iter().map(of_line).collect();
    fingerprint_of_import(&flights, existing == Existing::Skip)
}

fn exists(line: &Line, mistakes: &mut Mistakes) {
    mistakes.add(line.number, "flight_id", format!("{} exists already", line.flight.definition.flight_id));
}

async fn create(
    flights: &Flights,
    by: &AdminName,
    asked: Option<&Under>,
    new: Vec<Line>,
) -> Result<(), Problem> {
    let numbers: Vec<(u64, FlightId)> =
        new.iter().map(|line| (line.number, line.flight.definition.flight_id.clone())).collect();
    let wanted = |line: Line| {
        let cause = Cause { by: Some(by.clone()), idempotency: asked.cloned() };
        (line.flight.definition, line.flight.policy, line.flight.open, cause)
    };
    let creating = flights.engine.create_all(new.into_iter().map(wanted).collect());
    let created = tokio::time::timeout(PATIENCE, creating).await;
    let error = match created.unwrap_or(Err(CreateAllError::OutcomeUnknown)) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    match error {
        CreateAllError::Overloaded(overloaded) => Err(overloaded.into()),
        CreateAllError::Flight { source: CreateError::Overloaded(overloaded), .. } => Err(overloaded.into()),
        CreateAllError::Flight { place, source } => {
            let mut mistakes = Mistakes::default();
            let (line, flight_id) = numbers.get(place).map_or((0, None), |(line, id)| (*line, Some(id)));
            match (source, flight_id) {
                (CreateError::Refused(refusal), _) => {
                    let problem = Problem::from(refusal);
                    let field = problem.field_errors().first().map_or("", |error| error.field.as_str());
                    mistakes.add(line, field, problem.detail());
                }
                (_, Some(id)) => mistakes.add(line, "flight_id", format!("{id} exists already")),
                (_, None) => {}
            }
            mistakes.check()
        }
        CreateAllError::OutcomeUnknown => Err(Problem::import_unknown()),
    }
}
