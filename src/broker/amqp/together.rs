//! Many sends at once: lapin takes each when it is first polled, and writes them together. One by one, each waits for two
//! threads to take turns.

use futures_util::future::try_join_all;

/// What is on its way when the channel closes is bounded by it.
const AT_ONCE: usize = 64;

/// In order; after the first that fails nothing more is begun than what began with it.
pub(super) async fn together<F, T, E>(sends: Vec<F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    let (mut sent, mut sends) = (Vec::with_capacity(sends.len()), sends.into_iter());
    while sends.len() > 0 {
        sent.extend(try_join_all(sends.by_ref().take(AT_ONCE)).await?);
    }
    Ok(sent)
}
