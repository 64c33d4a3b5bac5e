//! Queues that nobody leads. RabbitMQ 3.10, killed within seconds after a quorum queue was declared, may leave it
//! without a leader for ever: what is published to it is never confirmed, and a look into it is answered after a minute
//! by closing the connection (measured). A passive declare, however, says that it is there and empty.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicGetOptions;
use tokio::time::timeout;

use super::connection::Connection;
use crate::broker::BrokerError;

/// Who leads a queue answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those of these empty queues that do not answer. On a connection that nobody else uses: it may be closed for it.
pub(super) async fn leaderless(connection: &Connection, queues: &[String]) -> Result<Vec<String>, BrokerError> {
    let mut channels = Vec::new();
    for queue in queues {
        channels.push((queue, connection.channel().await?));
    }
    let asked = channels.iter().map(async |(queue, channel)| {
        let got = timeout(PATIENCE, channel.basic_get(queue.as_str().into(), BasicGetOptions::default())).await;
        // A message that has just come goes back when the connection goes.
        got.is_err().then(|| (*queue).clone())
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}
