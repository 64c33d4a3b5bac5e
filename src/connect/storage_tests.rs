use secrecy::ExposeSecret;

use super::*;

/// 64 bytes, as Azure's keys have.
fn key() -> String {
    STANDARD.encode([7; 64])
}

fn account(rest: &str) -> String {
    format!("DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={}{rest}", key())
}

#[track_caller]
fn check(text: &str, cloud: Option<Cloud>, expected: &str, remarks: &[&str]) {
    let found = recognise(text, cloud).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.value.connection_string.expose_secret(), expected);
    assert_eq!(found.remarks.len(), remarks.len(), "{:?}", found.remarks);
    for (told, expected) in found.remarks.iter().zip(remarks) {
        assert!(told.contains(expected) && !told.contains(&key()), "{told}");
    }
    assert!(!format!("{found:?}").contains(&key()));
}

#[test]
fn what_the_portal_gives_is_left_as_it_is() {
    for whole in
        [account(";EndpointSuffix=core.windows.net"), account(""), account(";EndpointSuffix=core.chinacloudapi.cn;")]
    {
        check(&whole, None, &whole, &[]);
    }
    check("UseDevelopmentStorage=true", None, "UseDevelopmentStorage=true", &[]);
    check(
        "{\"connectionString\":\"UseDevelopmentStorage=true\"}",
        None,
        "{\"connectionString\":\"UseDevelopmentStorage=true\"}",
        &[],
    );
}

#[test]
fn what_happened_on_the_way_is_put_right_and_told() {
    let whole = account(";EndpointSuffix=core.windows.net");
    check(&format!("{whole}\r\n"), None, &whole, &["line break at its end"]);
    check(&format!("“{whole}”"), None, &whole, &["quotes"]);
    check(&format!("export AZURE_STORAGE_CONNECTION_STRING=\"{whole}\"\n"), None, &whole, &["line break", "variable"]);
    check(&whole.replace(";AccountKey", "\n  ;AccountKey"), None, &whole, &["line breaks within"]);
    check(&whole.replace(';', "；"), None, &whole, &["full-width"]);
    check(&whole.replace(PUBLIC, SLIP), None, &whole, &["core.screens.net"]);
    let signed = "TableEndpoint=https://contoso.table.core.windows.net;SharedAccessSignature=sv=1&sig=x";
    check(&signed.replace('&', "&amp;"), None, signed, &["&amp;"]);
    check("https://contoso.table.core.windows.net/?sv=1&sig=x", None, signed, &["signed URL"]);
    let of_account = "TableEndpoint=https://contoso.table.core.windows.net;SharedAccessSignature=sv=1&ss=bt&sig=x";
    check("https://contoso.blob.core.windows.net/?sv=1&ss=bt&sig=x", None, of_account, &["signed URL"]);
}

#[test]
fn an_account_in_china_gets_its_suffix_where_it_is_said_or_seen_that_it_is_there() {
    let china = account(";EndpointSuffix=core.chinacloudapi.cn");
    check(&account(""), Some(Cloud::China), &china, &["EndpointSuffix=core.chinacloudapi.cn"]);
    check(&china, Some(Cloud::China), &china, &[]);
    check(&account(";EndpointSuffix=core.screens.net"), Some(Cloud::China), &china, &["core.screens.net"]);
    let seen = account(";BlobEndpoint=https://contoso.blob.core.chinacloudapi.cn/");
    check(&seen, None, &format!("{seen};EndpointSuffix=core.chinacloudapi.cn"), &["EndpointSuffix"]);
    assert!(!recognise(&account(""), None).unwrap().value.cloud_is_said);
    assert!(recognise(&china, None).unwrap().value.cloud_is_said);
}

#[test]
fn a_key_that_was_cut_off_is_told_and_tried() {
    let text = "AccountName=contoso;AccountKey=QUJD";
    check(text, None, text, &["has 3 bytes"]);
}

#[test]
fn what_cannot_be_put_right_is_refused_with_its_mend_and_without_its_value() {
    let refused = |text: &str, cloud: Option<Cloud>, what: &str| {
        let told = recognise(text, cloud).unwrap_err();
        assert!(told.to_string().contains(what) && !told.mend.is_empty(), "{told}");
        assert!(!told.to_string().contains("canary"), "{told}");
    };
    refused("AccountName=contoso", None, "AccountKey");
    refused("AccountName=contoso;AccountKey=canary!", None, "not Base64");
    refused(&account(";EndpointSuffix=core.windows.net"), Some(Cloud::China), "another cloud");
    refused("https://contoso.blob.core.windows.net/?sv=1&ss=b&sig=canary", None, "not for tables");
    refused("https://contoso.blob.core.windows.net/?sv=1&sig=canary", None, "not for tables");
    refused("https://contoso.table.core.windows.net/canary", None, "without a signature");
    refused("{\"connection\":\"canary\"}", None, "connectionString");
}
