//! The rows of operators' orders. None is ever deleted: who ordered what, when and why is kept.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::fault::Fault;
use super::rows::destination as destination_in;
use crate::domain::order::{Kept, Order, Ordered, Reason};
use crate::domain::reply::Code;

pub(super) const SCHEMA: &str = "
    CREATE TABLE orders (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        destination TEXT NOT NULL,
        what TEXT NOT NULL,
        code TEXT,
        reason TEXT NOT NULL,
        ordered_by TEXT NOT NULL,
        at_second INTEGER NOT NULL,
        at_nanosecond INTEGER NOT NULL,
        done INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX orders_by_destination ON orders (destination, number);
";

/// Words on disk: they never change.
const PAUSE: &str = "pause";
const RESUME: &str = "resume";
const ACCEPT_REJECTIONS: &str = "accept_rejections";

pub(super) fn put_order(connection: &Connection, order: &Order) -> Result<u64, Fault> {
    let (what, code) = match &order.what {
        Ordered::Pause => (PAUSE, None),
        Ordered::Resume => (RESUME, None),
        Ordered::AcceptRejections { code } => (ACCEPT_REJECTIONS, code.as_ref().map(Code::as_str)),
    };
    let insert = "INSERT INTO orders (destination, what, code, reason, ordered_by, at_second, at_nanosecond, done)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) RETURNING number";
    let (reason, by, at) = (order.reason.as_str(), &order.by, order.at);
    let (second, nanosecond) = (at.as_second(), at.subsec_nanosecond());
    let values = params![order.destination.as_str(), what, code, reason, by, second, nanosecond];
    number(connection.prepare_cached(insert)?.query_row(values, |row| row.get(0))?)
}

pub(super) fn orders(connection: &Connection) -> Result<Vec<Kept>, Fault> {
    let select =
        "SELECT number, destination, what, code, reason, ordered_by, at_second, at_nanosecond, done FROM orders
        WHERE number IN (SELECT max(number) FROM orders GROUP BY destination) ORDER BY destination";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn end_order(connection: &Connection, number: u64) -> Result<(), Fault> {
    connection.prepare_cached("UPDATE orders SET done = 1 WHERE number = ?1")?.execute([number.cast_signed()])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Kept, Fault> {
    let text = |column| row.get_ref(column)?.as_str().map_err(|_| Fault::Damaged);
    let what = match text(2)? {
        PAUSE => Ordered::Pause,
        RESUME => Ordered::Resume,
        ACCEPT_REJECTIONS => {
            Ordered::AcceptRejections { code: row.get::<_, Option<String>>(3)?.as_deref().map(Code::foreign) }
        }
        _ => return Err(Fault::Damaged),
    };
    let reason = match text(4)? {
        "" => Reason::default(),
        words => Reason::parse(words).map_err(|_| Fault::Damaged)?,
    };
    let at = Timestamp::new(row.get(6)?, row.get(7)?).map_err(|_| Fault::Damaged)?;
    let order = Order { destination: destination_in(row, 1)?, what, reason, by: text(5)?.to_owned(), at };
    Ok(Kept { number: number(row.get(0)?)?, order, done: row.get(8)? })
}

fn number(found: i64) -> Result<u64, Fault> {
    found.try_into().map_err(|_| Fault::Damaged)
}
