//! Whether an org is set up: everything that is wrong, each with its mend.

use leadrelay::destination::salesforce::rest::Settings;
use leadrelay::domain::mapping::{LeadValue, MappedValue, Mapping};
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::sandbox::Options;
use leadrelay::sandbox::schema::{CustomField, ExternalId};

use super::fault_proxy::Fault;
use super::org::*;

#[tokio::test]
async fn an_org_that_is_set_up_has_nothing_wrong() {
    let org = Org::with_fields().await;
    assert_eq!(org.open(org.mapped()).probe().await, Ok(vec![]));
    assert_eq!(org.destination().probe().await, Ok(vec![]));
    assert_eq!(org.calls(), "2 describe, 2 token");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let options = Options {
        external_field: CustomField { name: "Leadrelay_Key__c".into(), length: 20 },
        external_id: ExternalId { unique: false, case_sensitive: true },
        custom_fields: vec!["Journey__c:100".parse().expect("a field"), "Region__c".parse().expect("a field")],
        ..Options::default()
    };
    let org = Org::with(options).await;
    org.sandbox.set(|settings| settings.required = vec!["Region__c".into(), "Phone".into()]);
    let of = |field: &str, value| Mapping { field: field.into(), value: MappedValue::Of(value) };
    let fields = vec![
        of("Journey__c", LeadValue::Journey),
        of("Stge__c", LeadValue::Stage),
        of("IsConverted", LeadValue::Offer),
    ];
    let settings = Settings { fields, country_field: "CountryCode".into(), ..org.settings() };
    let unfit = org.open(settings).probe().await.expect("it tells");
    let mut told: Vec<_> = unfit.iter().map(|unfit| format!("{} {}", unfit.field, unfit.what)).collect();
    told.sort();
    let expected = [
        "CountryCode is not there, or not visible",
        "IsConverted cannot be written",
        "IsConverted does not hold text",
        "Journey__c is too short for what goes into it",
        "Leadrelay_Key__c is not unique",
        "Leadrelay_Key__c is shorter than a lead key",
        "Phone is required, and not every customer gives it",
        "Region__c is required, and nothing fills it",
        "Stge__c is not there, or not visible",
    ];
    assert_eq!(told, expected);
    assert!(unfit.iter().all(|unfit| !unfit.mend.is_empty()));
    let settings = Settings { external_id_field: "Region__c".into(), ..org.settings() };
    let unfit = org.open(settings).probe().await.expect("it tells");
    assert!(unfit.iter().any(|unfit| unfit.field == "Region__c" && unfit.what == "is no external id"), "{unfit:?}");
}

#[tokio::test]
async fn an_org_that_does_not_tell_says_why() {
    let org = Org::new().await;
    org.proxy.set(|seen| match kind(seen) {
        "describe" => Fault::json(403, r#"[{"message":"canary","errorCode":"API_DISABLED_FOR_ORG"}]"#.into()),
        _ => Fault::Pass,
    });
    let refused = Reply::Credentials(Code::known("API_DISABLED_FOR_ORG"));
    assert_eq!(org.destination().probe().await, Err(refused));
}

#[tokio::test]
async fn a_configured_org_is_probed_by_its_name() {
    use leadrelay::app::{Probed, destination_probe};
    let org = Org::new().await;
    let example = include_str!("../../leadrelay.example.toml")
        .replace("{ env = \"LEADRELAY_KEY_SECRET\" }", "\"0123456789abcdef\"");
    let text = example.replace(
        "[[routes]]",
        &format!(
            r#"
            [destinations.org]
            kind = "salesforce"
            instance_url = "http://{}"
            external_id_field = "Leadrelay_Key__c"
            auth = {{ kind = "client-credentials", client_id = "sandbox-client", client_secret = "sandbox-secret" }}
            [[routes]]"#,
            org.proxy.address()
        ),
    );
    let config = leadrelay::config::Config::parse(std::path::Path::new("x.toml"), &text).expect("a configuration");
    let name = |name| leadrelay::domain::route::DestinationName::parse(name).expect("a name");
    assert_eq!(destination_probe(&config, &name("org")).await.expect("set up"), Probed::Told(vec![]));
    assert!(destination_probe(&config, &name("nobody")).await.is_err());
}
