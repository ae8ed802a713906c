//! Which journal the store belongs to: the first one that came, until another is put in its place on purpose.
//! Never decides whether another may be: says whose it is, and who lives.

use super::database::{Store, Transaction};
use super::error::StoreError;
use super::table::{NO_LOCK, OWNER, Statement};
use super::value::{Reader, Row, Unreadable};
use crate::journal::JournalIdentity;

/// The only row's key.
const PLACE: i64 = 1;

/// Whose the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOwner {
    /// Which journal's.
    pub journal: JournalIdentity,
    /// Which process has that journal; empty where many may.
    pub holder: String,
    /// Counted up by living processes: two looks that differ say that one lives.
    pub beats: u64,
}

impl Store {
    /// Whose the store is, if it is anybody's.
    pub async fn journal_owner(&self) -> Result<Option<JournalOwner>, StoreError> {
        let rows = self.read("reading whose the store is", whole_row()).await?;
        rows.into_iter().next().map(decoded).transpose()
    }

    /// Makes the store this journal's, if it is nobody's, or notes its holder, if it is this journal's already. Gives
    /// whose it is then.
    pub async fn claim_for_journal(
        &self,
        journal: &JournalIdentity,
        holder: &str,
    ) -> Result<JournalOwner, StoreError> {
        let what = "claiming the store";
        let mut transaction = self.begin_write().await?;
        let found = owner_in(&mut transaction, what).await?;
        let sql = match &found {
            Some(owner) if owner.journal.id != journal.id => return Ok(owner.clone()),
            Some(_) => {
                "UPDATE journal_owner SET journal_id = ?, journal = ?, holder = ?, beats = beats + 1 WHERE place = ?"
            }
            // Two at once meet at the primary key.
            None => {
                "INSERT INTO journal_owner (journal_id, journal, holder, beats, place) VALUES (?, ?, ?, 1, ?)"
            }
        };
        let arguments =
            vec![journal.id.as_str().into(), journal.name.as_str().into(), holder.into(), PLACE.into()];
        match transaction.execute(what, Statement::new(sql, arguments)).await {
            Ok(_) => {}
            Err(StoreError::Rejected { source, .. }) if found.is_none() => {
                return Err(StoreError::Conflict { what, source });
            }
            Err(error) => return Err(error),
        }
        let owner = owner_in(&mut transaction, what).await?;
        transaction.commit(what).await?;
        owner.ok_or(StoreError::Conflict { what, source: None })
    }

    /// Puts this journal in the place of another, unless a process that uses the other one has shown itself since it
    /// was looked at; says whether that was done.
    pub async fn replace_journal(
        &self,
        old: &JournalOwner,
        journal: &JournalIdentity,
        holder: &str,
    ) -> Result<bool, StoreError> {
        let what = "putting another journal in the place of the store's";
        let sql = "UPDATE journal_owner SET journal_id = ?, journal = ?, holder = ?, beats = 1 \
                   WHERE place = ? AND journal_id = ? AND beats = ?";
        let arguments = vec![
            journal.id.as_str().into(),
            journal.name.as_str().into(),
            holder.into(),
            PLACE.into(),
            old.journal.id.as_str().into(),
            old.beats.into(),
        ];
        let mut transaction = self.begin_write().await?;
        let changed = transaction.execute(what, Statement::new(sql, arguments)).await?;
        transaction.commit(what).await?;
        Ok(changed == 1)
    }

    /// Says that a process with this journal lives; `false` if the store is not, or no longer, this journal's and
    /// this holder's.
    pub async fn beat(&self, journal_id: &str, holder: &str) -> Result<bool, StoreError> {
        let what = "telling the store that its journal is in use";
        let sql =
            "UPDATE journal_owner SET beats = beats + 1 WHERE place = ? AND journal_id = ? AND holder = ?";
        let arguments = vec![PLACE.into(), journal_id.into(), holder.into()];
        let mut transaction = self.begin_write().await?;
        let changed = transaction.execute(what, Statement::new(sql, arguments)).await?;
        transaction.commit(what).await?;
        Ok(changed == 1)
    }
}

async fn owner_in(
    transaction: &mut Transaction,
    what: &'static str,
) -> Result<Option<JournalOwner>, StoreError> {
    let lock = transaction.lock();
    let mut found = Vec::new();
    for statement in OWNER.lookups(lock, vec![vec![PLACE.into()]]) {
        found.extend(transaction.fetch(what, statement).await?);
    }
    found.into_iter().next().map(decoded).transpose()
}

fn whole_row() -> Statement {
    OWNER
        .lookups(NO_LOCK, vec![vec![PLACE.into()]])
        .pop()
        .unwrap_or_else(|| Statement::new(OWNER.select(), Vec::new()))
}

fn decoded(row: Row) -> Result<JournalOwner, StoreError> {
    decode(row).map_err(|error| StoreError::damaged(None, format!("journal_owner: {error}")))
}

fn decode(row: Row) -> Result<JournalOwner, Unreadable> {
    let mut row = Reader::new(OWNER.columns, row);
    row.int()?;
    let journal = JournalIdentity { id: row.text()?, name: row.text()? };
    Ok(JournalOwner { journal, holder: row.text()?, beats: row.bits()? })
}
