"""simple-salesforce, as its users use it, against the sandbox over https.

Expects SANDBOX_URL, REQUESTS_CA_BUNDLE and CLIENT_KEY; ends with 0 if all went as with Salesforce.
"""

import os
import sys
import traceback

import requests
from simple_salesforce import Salesforce
from simple_salesforce import exceptions

URL = os.environ["SANDBOX_URL"]
HOST = URL.removeprefix("https://")
KEY = "Leadrelay_Key__c"
# simple-salesforce asks for tokens at https://DOMAIN.salesforce.com; the session is then handed over.
TOKEN = f"{URL}/services/oauth2/token"


def session():
    answer = requests.post(
        TOKEN,
        data={
            "grant_type": "client_credentials",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
        },
        timeout=20,
    )
    answer.raise_for_status()
    body = answer.json()
    assert body["instance_url"] == URL, body
    assert body["token_type"] == "Bearer", body
    return Salesforce(instance_url=URL, session_id=body["access_token"])


def control(path, body=None):
    answer = requests.post(f"{URL}/_sandbox/{path}", json=body or {}, timeout=20)
    assert answer.status_code == 200, answer.text


def refused(error, call):
    """The content of the error with which this call must fail."""
    try:
        answer = call()
    except error as refusal:
        return refusal.content
    raise AssertionError(f"not refused: {answer}")


def record(**more):
    return {"LastName": "Liang", "Company": "Contoso", **more}


def a_token_for_a_signed_assertion(_):
    from simple_salesforce import login

    # Its own login, with the host of the sandbox in the place of login.salesforce.com.
    real = requests.Session.post

    def here(self, url, *args, **kwargs):
        return real(self, url.replace("https://login.salesforce.com", URL), *args, **kwargs)

    requests.Session.post = here
    try:
        token, instance = login.SalesforceLogin(
            username="integration@sandbox.example",
            consumer_key="sandbox-client",
            privatekey_file=os.environ["CLIENT_KEY"],
            session=requests.Session(),
        )
        assert instance == HOST, instance
        client = Salesforce(instance=instance, session_id=token)
        assert client.query("SELECT COUNT() FROM Lead")["totalSize"] >= 0
        failed = exceptions.SalesforceAuthenticationFailed
        try:
            login.SalesforceLogin(
                username="somebody@else.example",
                consumer_key="sandbox-client",
                privatekey_file=os.environ["CLIENT_KEY"],
                session=requests.Session(),
            )
        except failed as refusal:
            assert refusal.code == "invalid_grant", refusal
        else:
            raise AssertionError("somebody else got a token")
    finally:
        requests.Session.post = real


def describe_tells_the_fields(salesforce):
    fields = {field["name"]: field for field in salesforce.Lead.describe()["fields"]}
    assert fields[KEY]["externalId"] and not fields[KEY]["unique"], fields[KEY]
    assert fields["FirstName"]["length"] == 40
    assert [thing["name"] for thing in salesforce.describe()["sobjects"]] == ["Lead"]
    assert salesforce.Lead.metadata()["objectDescribe"]["keyPrefix"] == "00Q"


def a_lead_is_created_read_changed_and_deleted(salesforce):
    made = salesforce.Lead.create(record(FirstName="Dashan"))
    assert made["success"] and made["errors"] == [], made
    assert salesforce.Lead.get(made["id"])["Name"] == "Dashan Liang"
    assert salesforce.Lead.update(made["id"], {"Title": "CTO"}) == 204
    assert salesforce.Lead.get(made["id"])["Title"] == "CTO"
    assert salesforce.Lead.delete(made["id"]) == 204
    content = refused(exceptions.SalesforceResourceNotFound, lambda: salesforce.Lead.get(made["id"]))
    assert content[0]["errorCode"] == "NOT_FOUND", content


def what_does_not_fit_is_refused(salesforce):
    for wrong, code in [
        ({"Email": "nobody"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG"),
        ({"LastName": None}, "REQUIRED_FIELD_MISSING"),
        ({"Nonsense": "x"}, "INVALID_FIELD"),
    ]:
        call = lambda: salesforce.Lead.create({**record(), **wrong})
        content = refused(exceptions.SalesforceMalformedRequest, call)
        assert content[0]["errorCode"] == code, content


def an_upsert_makes_a_lead_and_then_changes_it(salesforce):
    assert salesforce.Lead.upsert(f"{KEY}/py-1", record()) == 201
    assert salesforce.Lead.upsert(f"{KEY}/py-1", record(Title="CTO")) == 200
    assert salesforce.Lead.get_by_custom_id(KEY, "py-1")["Title"] == "CTO"
    content = refused(
        exceptions.SalesforceMalformedRequest,
        lambda: salesforce.Lead.upsert(f"{KEY}/py-1", record(**{KEY: "py-1"})),
    )
    assert content[0]["errorCode"] == "INVALID_FIELD", content


def a_lead_is_found_by_its_key(salesforce):
    found = salesforce.query(f"SELECT Id, Title FROM Lead WHERE {KEY} = 'py-1'")
    assert found["totalSize"] == 1 and found["records"][0]["Title"] == "CTO", found
    content = refused(exceptions.SalesforceMalformedRequest, lambda: salesforce.query("SELECT"))
    assert content[0]["errorCode"] == "MALFORMED_QUERY", content


def several_leads_with_one_key_are_no_upsert(salesforce):
    for name in ["One", "Two"]:
        salesforce.Lead.create({**record(**{KEY: "py-2"}), "LastName": name})
    call = lambda: salesforce.Lead.upsert(f"{KEY}/py-2", record())
    urls = refused(exceptions.SalesforceMoreThanOneRecord, call)
    assert len(urls) == 2 and all("/sobjects/Lead/00Q" in url for url in urls), urls


def collections_have_an_outcome_for_each_record(salesforce):
    def lead(key, **more):
        return {"attributes": {"type": "Lead"}, KEY: key, **record(**more)}

    def upsert(all_or_none, *records):
        return salesforce.restful(
            f"composite/sobjects/Lead/{KEY}",
            method="PATCH",
            json={"allOrNone": all_or_none, "records": list(records)},
        )

    items = upsert(False, lead("py-3"), lead("py-4", Email="nobody"), lead("py-1"))
    assert [item["success"] for item in items] == [True, False, True], items
    assert [items[0]["created"], items[2]["created"]] == [True, False], items
    assert items[1]["errors"][0]["statusCode"] == "INVALID_EMAIL_ADDRESS", items
    items = upsert(True, lead("py-5"), lead("py-6", Email="nobody"))
    codes = [item["errors"][0]["statusCode"] for item in items]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_EMAIL_ADDRESS"], items
    assert salesforce.query(f"SELECT COUNT() FROM Lead WHERE {KEY} = 'py-5'")["totalSize"] == 0


def a_long_answer_comes_in_pages(salesforce):
    for _ in range(11):
        leads = [{"attributes": {"type": "Lead"}, "LastName": "Page", "Company": "Pages"}] * 200
        salesforce.restful("composite/sobjects", method="POST", json={"records": leads})
    pages = salesforce.query_all("SELECT Id FROM Lead WHERE Company = 'Pages'")
    assert len({lead["Id"] for lead in pages["records"]}) == 2200


def limits_and_usage_are_told(salesforce):
    assert salesforce.limits()["DailyApiRequests"]["Max"] == 100000
    assert salesforce.api_usage["api-usage"].total == 100000, salesforce.api_usage


def an_expired_session_is_told_and_a_new_one_works(salesforce):
    control("expire-tokens")
    call = lambda: salesforce.query("SELECT COUNT() FROM Lead")
    content = refused(exceptions.SalesforceExpiredSession, call)
    assert content[0]["errorCode"] == "INVALID_SESSION_ID", content
    assert session().query("SELECT COUNT() FROM Lead")["totalSize"] > 2200


STEPS = [
    a_token_for_a_signed_assertion,
    describe_tells_the_fields,
    a_lead_is_created_read_changed_and_deleted,
    what_does_not_fit_is_refused,
    an_upsert_makes_a_lead_and_then_changes_it,
    a_lead_is_found_by_its_key,
    several_leads_with_one_key_are_no_upsert,
    collections_have_an_outcome_for_each_record,
    a_long_answer_comes_in_pages,
    limits_and_usage_are_told,
    an_expired_session_is_told_and_a_new_one_works,
]


def main():
    salesforce = session()
    for step in STEPS:
        try:
            step(salesforce)
        except Exception:
            traceback.print_exc()
            sys.exit(f"failed: {step.__name__}")
    print(f"{len(STEPS)} steps")


if __name__ == "__main__":
    main()
