//! What every ledger does with operators' orders.

use leadrelay::domain::order::{Order, Ordered};
use leadrelay::domain::reply::Code;
use leadrelay::store::ledger::Ledger;

use super::leads::*;
use super::{Store, owner};

async fn give(ledger: &dyn Ledger, order: &Order) -> u64 {
    ledger.give_order(order.clone()).await.expect("the order is kept")
}

/// Destination, what was ordered, and whether that has come to its end.
async fn latest(ledger: &dyn Ledger) -> Vec<(Order, bool)> {
    let kept = ledger.orders().await.expect("an answer");
    kept.into_iter().map(|kept| (kept.order, kept.done)).collect()
}

pub async fn the_latest_order_of_each_destination_is_told_as_it_was_given(store: &dyn Store) {
    let ledger = owner(store).await;
    assert_eq!(latest(&*ledger).await, []);
    let pause = order("fabrikam", Ordered::Pause, 7);
    let code = Some(Code::known("InvalidInput"));
    let accept = order("contoso", Ordered::AcceptRejections { code }, 9);
    let first = give(&*ledger, &order("contoso", Ordered::Pause, 8)).await;
    let second = give(&*ledger, &pause).await;
    let third = give(&*ledger, &accept).await;
    assert!(first < second && second < third);
    assert_eq!(latest(&*ledger).await, [(accept, false), (pause.clone(), false)]);
    let any = order("contoso", Ordered::AcceptRejections { code: None }, 10);
    give(&*ledger, &any).await;
    assert_eq!(latest(&*ledger).await, [(any, false), (pause.clone(), false)]);
    let resume = order("contoso", Ordered::Resume, 11);
    give(&*ledger, &resume).await;
    assert_eq!(latest(&*ledger).await, [(resume, false), (pause, false)]);
}

pub async fn orders_are_given_beside_an_owner_and_outlive_every_owner(store: &dyn Store) {
    let first = owner(store).await;
    let pause = order("contoso", Ordered::Pause, 1);
    give(&*store.handle(), &pause).await;
    assert_eq!(latest(&*first).await, [(pause.clone(), false)]);
    // Who was superseded may still give orders: they are the operator's, not the owner's.
    let second = owner(store).await;
    let other = order("fabrikam", Ordered::Pause, 2);
    give(&*first, &other).await;
    assert_eq!(latest(&*second).await, [(pause, false), (other, false)]);
}

pub async fn an_order_that_has_ended_stays_ended_and_the_next_is_another(store: &dyn Store) {
    let ledger = owner(store).await;
    let accept = order("contoso", Ordered::AcceptRejections { code: None }, 1);
    let number = give(&*ledger, &accept).await;
    ledger.end_order(number).await.expect("an answer");
    ledger.end_order(number).await.expect("twice is once");
    ledger.end_order(number + 100).await.expect("one that there is not is no matter");
    assert_eq!(latest(&*owner(store).await).await, [(accept.clone(), true)]);
    assert!(give(&*ledger, &accept).await > number);
    assert_eq!(latest(&*ledger).await, [(accept, false)]);
}
