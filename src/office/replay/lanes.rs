//! Which lanes are open, as far as a running worker tells.

use async_trait::async_trait;

use crate::domain::route::DestinationName;

#[async_trait]
pub trait Lanes: Send + Sync {
    /// The lanes that are not closed; or why nobody can say.
    async fn open(&self) -> Result<Vec<OpenLane>, String>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLane {
    pub destination: DestinationName,
    /// As `leadrelay_lane_state` names it: `transient`, `credentials`, …
    pub state: String,
}

/// The lanes that are not closed, by the worker's own metrics.
pub fn read(metrics: &str) -> Vec<OpenLane> {
    metrics.lines().filter_map(open_lane).collect()
}

/// `leadrelay_lane_state{destination="contoso-table",state="transient"} 1`.
fn open_lane(line: &str) -> Option<OpenLane> {
    let (labels, value) = line.strip_prefix("leadrelay_lane_state{")?.split_once("} ")?;
    if value.trim() != "1" {
        return None;
    }
    let label = |name: &str| {
        let (_, rest) = labels.split_once(&format!("{name}=\""))?;
        rest.split('"').next()
    };
    let state = label("state").filter(|state| *state != "closed")?.to_owned();
    Some(OpenLane { destination: DestinationName::parse(label("destination")?).ok()?, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::State;
    use crate::telemetry::Telemetry;

    #[test]
    fn a_lane_that_is_not_closed_is_read_from_the_metrics_as_the_worker_writes_them() {
        let telemetry = Telemetry::new();
        let show = |name: &str, shown: &str| {
            for state in State::LABELS {
                telemetry.metrics.lane_state.with_label_values(&[name, state]).set((state == shown).into());
            }
        };
        show("contoso", "closed");
        show("fabrikam", "credentials");
        show("tailspin", "half_open");
        let open = read(&telemetry.metrics.render());
        let told: Vec<_> = open.iter().map(|lane| (lane.destination.as_str(), lane.state.as_str())).collect();
        assert_eq!(told, [("fabrikam", "credentials"), ("tailspin", "half_open")]);
        show("fabrikam", "closed");
        assert_eq!(read(&telemetry.metrics.render()).len(), 1);
        assert_eq!(read("leadrelay_lane_state{destination=\"A B\",state=\"transient\"} 1\nnonsense{\n"), []);
    }
}
