//! Rejected deliveries: the list, and one as it was stored. Tokens and the end of a long body are not stored.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params_from_iter};
use serde::Serialize;

use super::where_clause::WhereClause;
use crate::model::filter::{ArrivalFilter, Page};
use crate::model::refusal::RefusedDelivery;
use crate::support::time::Millis;

/// A row of `refusals` without headers and body.
#[derive(Debug, Clone, Serialize)]
pub struct RefusalSummary {
    pub id: i64,
    pub source: String,
    pub received_at: Millis,
    /// Of the response.
    pub status: u16,
    pub reason: String,
    /// The client's address, if it is known.
    pub remote: Option<String>,
    pub method: String,
    /// Path and query; tokens are `***`.
    pub target: String,
    /// Length of the body, or the announced length if the body was not read.
    pub body_bytes: i64,
    /// When it was stored as an event after all.
    pub taken_at: Option<Millis>,
}

#[derive(Debug, Clone)]
pub struct StoredRefusal {
    pub row: RefusalSummary,
    pub refused: RefusedDelivery,
}

const COLUMNS: &str =
    "e.id, e.source, e.received_at, e.status, e.reason, e.remote, e.method, e.target, e.body_bytes, e.taken_at";

impl RefusalSummary {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            source: row.get("source")?,
            received_at: Millis(row.get("received_at")?),
            status: row.get("status")?,
            reason: row.get("reason")?,
            remote: row.get("remote")?,
            method: row.get("method")?,
            target: row.get("target")?,
            body_bytes: row.get("body_bytes")?,
            taken_at: row.get::<_, Option<i64>>("taken_at")?.map(Millis),
        })
    }
}

pub(super) fn refusals(connection: &Connection, arrival: &ArrivalFilter, page: Page) -> Result<Vec<RefusalSummary>> {
    let mut conditions = WhereClause::default();
    if let Some(before) = page.before {
        conditions.and("e.id < ?", [Value::Integer(before)]);
    }
    conditions.arrival(&ArrivalFilter { event_type: None, ..arrival.clone() });
    let (conditions, values) = (conditions.sql().to_owned(), conditions.values);
    let sql = format!("SELECT {COLUMNS} FROM refusals e {conditions} ORDER BY e.id DESC LIMIT {}", page.limit);
    connection.prepare(&sql)?.query_map(params_from_iter(values), RefusalSummary::read)?.collect()
}

pub(super) fn refusal(connection: &Connection, id: i64) -> Result<Option<StoredRefusal>> {
    let sql = format!("SELECT {COLUMNS}, e.headers, e.tokens, e.body FROM refusals e WHERE e.id = ?");
    let read = |row: &Row<'_>| {
        let refusal = RefusalSummary::read(row)?;
        let refused = RefusedDelivery {
            source: refusal.source.clone(),
            received_at: refusal.received_at,
            status: refusal.status,
            reason: refusal.reason.clone(),
            remote: refusal.remote.clone(),
            method: refusal.method.clone(),
            target: refusal.target.clone(),
            headers: row.get("headers")?,
            tokens: row.get("tokens")?,
            body: row.get("body")?,
            body_bytes: u64::try_from(refusal.body_bytes).unwrap_or(0),
        };
        Ok(StoredRefusal { row: refusal, refused })
    };
    connection.prepare(&sql)?.query_row([id], read).optional()
}
