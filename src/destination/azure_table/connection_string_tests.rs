use super::*;

/// The key of nobody: `canary-canary` in Base64.
const KEY: &str = "Y2FuYXJ5LWNhbmFyeQ==";

fn by_key(endpoint: &str, account: &str) -> Result<ConnectionString, Error> {
    let credential = Credential::SharedKey(SharedKey::new(account, b"canary-canary"));
    Ok(ConnectionString { table_endpoint: endpoint.to_owned(), credential })
}

fn by_sas(endpoint: &str, token: &str) -> Result<ConnectionString, Error> {
    let credential = Credential::Sas(Sas::new(token.to_owned()));
    Ok(ConnectionString { table_endpoint: endpoint.to_owned(), credential })
}

#[track_caller]
fn check(text: &str, expected: Result<ConnectionString, Error>) {
    assert_eq!(ConnectionString::parse(&text.replace("KEY", KEY)), expected, "{text}");
}

#[test]
fn every_form_that_people_paste_is_read() {
    let public = || by_key("https://leads1.table.core.windows.net", "leads1");
    check("DefaultEndpointsProtocol=https;AccountName=leads1;AccountKey=KEY;EndpointSuffix=core.windows.net", public());
    check("AccountName=leads1;AccountKey=KEY", public());
    check("  accountname=leads1;ACCOUNTkEY=KEY;\r\n", public());
    check("\"AccountName=leads1;AccountKey=KEY\"", public());
    check("AccountName=leads1;AccountKey=KEY;BlobEndpoint=https://leads1.blob.core.windows.net/;;", public());
    check("{\"connectionString\":\"DefaultEndpointsProtocol=https;AccountName=leads1;AccountKey=KEY\"}", public());
    check(
        "DefaultEndpointsProtocol=https;AccountName=leads1;AccountKey=KEY;EndpointSuffix=core.chinacloudapi.cn;",
        by_key("https://leads1.table.core.chinacloudapi.cn", "leads1"),
    );
    check(
        "DefaultEndpointsProtocol=http;AccountName=leads1;AccountKey=KEY",
        by_key("http://leads1.table.core.windows.net", "leads1"),
    );
    check(
        "AccountName=leads1;AccountKey=KEY;TableEndpoint=https://tables.contoso.com/",
        by_key("https://tables.contoso.com", "leads1"),
    );
}

#[test]
fn a_signature_is_read_with_or_without_its_ornaments() {
    let expected = || by_sas("https://leads1.table.core.windows.net", "sv=2020&sp=rau&sig=a%2Bb%3D");
    check(
        "TableEndpoint=https://leads1.table.core.windows.net;SharedAccessSignature=sv=2020&sp=rau&sig=a%2Bb%3D",
        expected(),
    );
    check(
        "SharedAccessSignature=?sv=2020&amp;sp=rau&amp;sig=a%2Bb%3D;TableEndpoint=https://leads1.table.core.windows.net/",
        expected(),
    );
    check("AccountName=leads1;SharedAccessSignature=sv=2020&sp=rau&sig=a%2Bb%3D", expected());
}

#[test]
fn development_storage_is_the_emulator() {
    let emulator = |base: &str| {
        let key = STANDARD.decode(DEVELOPMENT_KEY).expect("Base64");
        let credential = Credential::SharedKey(SharedKey::new("devstoreaccount1", &key));
        Ok(ConnectionString { table_endpoint: format!("{base}:10002/devstoreaccount1"), credential })
    };
    check("UseDevelopmentStorage=true", emulator("http://127.0.0.1"));
    check("usedevelopmentstorage=TRUE;\n", emulator("http://127.0.0.1"));
    check("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", emulator("http://azurite"));
    check("UseDevelopmentStorage=false", Err(Error::Wrong("UseDevelopmentStorage", "write true, or remove it")));
}

#[test]
fn an_error_names_the_key_and_how_to_mend_it_and_never_a_value() {
    let says = |text: &str, expected: &str| {
        let error = ConnectionString::parse(&text.replace("KEY", KEY)).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("canary") && !error.contains(KEY), "{text}: {error}");
    };
    says("", "empty");
    says("  \r\n", "empty");
    says("AccountName=leads1;AccountKey=\nKEY", "one line");
    says("https://canary.table.core.windows.net/?sv=1&sig=canary", "TableEndpoint=");
    says("{\"other\":\"canary\"}", "connectionString");
    says("{canary", "connectionString");
    says("canary", "key=value");
    says("AccountName=leads1", "AccountKey is missing");
    says("AccountKey=KEY", "AccountName is missing");
    says("AccountKey=KEY;TableEndpoint=https://canary", "AccountName is missing");
    says("AccountName=leads1;AccountKey=KEY;accountkey=KEY", "AccountKey stands twice");
    says("AccountName=leads1;AccountKey=canary!", "not Base64");
    says("AccountName=canary_Leads;AccountKey=KEY", "3 to 24");
    says("AccountName=leads1;AccountKey=KEY;EndpointSuffix=core.screens.net", "write core.windows.net");
    says("AccountName=leads1;AccountKey=KEY;EndpointSuffix=https://canary/", "EndpointSuffix");
    says("AccountName=leads1;AccountKey=KEY;DefaultEndpointsProtocol=ftp", "write https");
    says("AccountName=leads1;AccountKey=KEY;TableEndpoint=canary.example", "begin it with https://");
    says("AccountName=leads1;SharedAccessSignature=sv=canary", "no sig");
    says("AccountName=leads1;SharedAccessSignature=sv=canary x&sig=canary", "space");
    says("AccountName=leads1;AccountKey=KEY;SharedAccessSignature=sig=canary", "keep one");
    says(
        "TableEndpoint=https://a.example/?sv=canary&sig=canary;SharedAccessSignature=sig=canary",
        "SharedAccessSignature",
    );
}

#[test]
fn a_connection_string_does_not_print_its_secrets() {
    for text in ["AccountName=leads1;AccountKey=KEY", "AccountName=leads1;SharedAccessSignature=sig=canary"] {
        let parsed = ConnectionString::parse(&text.replace("KEY", KEY)).expect(text);
        let printed = format!("{parsed:?}");
        assert!(!printed.contains("canary") && !printed.contains(KEY), "{printed}");
    }
}
