//! Reads the rows that are there already, in few requests.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};

use super::client::{Client, Row, Trouble, comparison};

/// "A query's $filter string … can contain no more than 15 discrete comparisons"
/// (<https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities>): three say where to look.
const KEYS_MAX: usize = 12;

/// So few are asked for singly at once.
const FEW: usize = 2;

const AT_ONCE: usize = 16;

/// How the rows of a partition are best asked for.
///
/// Keys joined by `or` make the service walk all rows between the first and the last of them, at most five seconds a
/// page, with a way to go on (<https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>).
/// In a partition so long that this does not end soon, single reads do, however many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Walk,
    Singly,
}

/// The rows of `partition` with these keys, as far as they exist, and the way that led to them.
pub async fn look_up(
    client: &Client,
    partition: &str,
    mut keys: Vec<String>,
    way: Way,
    (patience, deadline): (Duration, Instant),
) -> Result<(HashMap<String, Row>, Way), Trouble> {
    let found = if way == Way::Walk && keys.len() > FEW {
        // Sorted, so that the walks of all chunks together pass each row of the partition at most once.
        keys.sort();
        let walks = keys.chunks(KEYS_MAX).map(|keys| walk(client, partition, keys, deadline));
        timeout(patience, try_join_all(walks)).await.ok()
    } else {
        None
    };
    let (found, way) = match found {
        Some(found) => (found.map(|chunks| chunks.into_iter().flatten().collect()), Way::Walk),
        None if keys.len() > FEW => (singly(client, partition, keys, deadline).await, Way::Singly),
        None => (singly(client, partition, keys, deadline).await, way),
    };
    match found {
        Ok(rows) => Ok((rows.into_iter().collect(), way)),
        Err(Trouble::NoTable) => Ok((HashMap::new(), way)),
        Err(trouble) => Err(trouble),
    }
}

async fn walk(
    client: &Client,
    partition: &str,
    keys: &[String],
    deadline: Instant,
) -> Result<Vec<(String, Row)>, Trouble> {
    let filter = filter(partition, keys);
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = client.query(&filter, next.as_deref(), deadline).await?;
        found.extend(page.rows.into_iter().filter_map(named));
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

async fn singly(
    client: &Client,
    partition: &str,
    keys: Vec<String>,
    deadline: Instant,
) -> Result<Vec<(String, Row)>, Trouble> {
    let read = |key: String| async move { client.row(partition, &key, deadline).await };
    let rows: Vec<Option<Row>> = stream::iter(keys).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(rows.into_iter().flatten().filter_map(named).collect())
}

fn named(row: Row) -> Option<(String, Row)> {
    let key = row.columns.get("RowKey")?.as_str()?.to_owned();
    Some((key, row))
}

/// One partition, from the first key to the last, and of those only these.
fn filter(partition: &str, keys: &[String]) -> String {
    let bound = |operator, key: Option<&String>| key.map(|key| comparison("RowKey", operator, key));
    let these: Vec<_> = keys.iter().map(|key| comparison("RowKey", "eq", key)).collect();
    let parts = [
        Some(comparison("PartitionKey", "eq", partition)),
        bound("ge", keys.first()),
        bound("le", keys.last()),
        Some(format!("({})", these.join(" or "))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_one_partition_and_never_more_comparisons_than_the_service_takes() {
        let keys: Vec<_> = (0..KEYS_MAX).map(|key| format!("{key:02}")).collect();
        let text = filter("o'brien.x", &keys);
        assert!(
            text.starts_with("PartitionKey eq 'o''brien.x' and RowKey ge '00' and RowKey le '11' and (RowKey eq '00'")
        );
        let comparisons: usize = [" eq ", " ge ", " le "].map(|operator| text.matches(operator).count()).iter().sum();
        assert_eq!(comparisons, 15);
    }
}
