//! The Web-to-Lead form that Salesforce generates, as HTML: where it posts to, whose it is, and what it sets.

use html5gum::{StartTag, Token, Tokenizer};

use super::{Recognised, Unusable, organisation};
use crate::config::web_to_lead::is_ours;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub oid: String,
    pub endpoint: String,
    /// Hidden inputs that the org wants: name and value.
    pub constants: Vec<(String, String)>,
    /// Custom fields that the form asks for: id, and what stands before it.
    pub custom: Vec<(String, String)>,
}

/// What was read, before it is judged.
#[derive(Default)]
struct Read {
    action: Option<String>,
    oid: Option<String>,
    captcha: bool,
    constants: Vec<(String, String)>,
    custom: Vec<(String, String)>,
}

pub fn recognise(html: &str) -> Result<Recognised<Form>, Unusable> {
    let Read { action, oid, captcha, constants, custom } = read(html);
    if captcha {
        return Err(Unusable::new(
            "the form has reCAPTCHA, and every lead that a server posts would be dropped without a word",
            "in Setup, Web-to-Lead, uncheck \"Require reCAPTCHA Verification\", generate the form again without \
             \"Include reCAPTCHA in HTML\", and paste it",
        ));
    }
    let whole =
        "copy the whole text that Setup, Web-to-Lead, \"Create Web-to-Lead Form\" generates, from <META to </form>";
    let oid = oid.ok_or_else(|| Unusable::new("the form has no oid", whole))?;
    let Recognised { value: oid, mut remarks } = organisation::recognise(&oid)?;
    let action = action.filter(|action| action.starts_with("https://") || action.starts_with("http://"));
    let endpoint = action.ok_or_else(|| Unusable::new("the form has no action that begins with https://", whole))?;
    if ["://webto.", "://test.", "://www."].iter().any(|host| endpoint.contains(host)) {
        let generic = "the form posts to an address that all organisations share; if no lead arrives, put My Domain's in its \
                       place: https://YOURS.my.salesforce.com/servlet/servlet.WebToLead?encoding=UTF-8";
        remarks.push(generic.to_owned());
    }
    Ok(Recognised { value: Form { oid, endpoint, constants, custom }, remarks })
}

fn read(html: &str) -> Read {
    let mut found = Read::default();
    // What was last said before an input.
    let mut label = String::new();
    for Ok(token) in Tokenizer::new(html) {
        match token {
            Token::StartTag(tag) => {
                let of = |name: &str| attribute(&tag, name);
                let mentions =
                    |text: Option<String>| text.is_some_and(|text| text.to_ascii_lowercase().contains("recaptcha"));
                found.captcha |= mentions(of("src")) || mentions(of("class"));
                match &tag.name[..] {
                    b"form" if found.action.is_none() => found.action = of("action"),
                    b"input" | b"select" | b"textarea" => {
                        if let Some(name) = of("name") {
                            let hidden = of("type").is_some_and(|kind| kind.eq_ignore_ascii_case("hidden"));
                            let value = of("value").unwrap_or_default();
                            note(&mut found, name, value, hidden, label.trim_matches([':', ' ', '\n', '\r', '\t']));
                        }
                    }
                    _ => {}
                }
            }
            Token::String(text) => {
                let text = String::from_utf8_lossy(&text);
                if !text.trim().is_empty() {
                    label = text.trim().to_owned();
                }
            }
            Token::EndTag(_) | Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    found
}

fn note(found: &mut Read, name: String, value: String, hidden: bool, label: &str) {
    match name.as_str() {
        "oid" => found.oid = Some(value),
        "captcha_settings" | "g-recaptcha-response" => found.captcha = true,
        // Ours: it tells where the lead comes from.
        "lead_source" | "description" => {}
        name if is_ours(name) => {}
        _ if hidden && !value.is_empty() => found.constants.push((name, value)),
        custom if custom.starts_with("00N") => found.custom.push((name, label.to_owned())),
        _ => {}
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Setup generates it, with its comments, its odd spaces and its `&amp;`.
    const GENERATED: &str = r#"<!--  ----------------------------------------------------------------------  -->
<!--  NOTE: Please add the following <META> element to your page <HEAD>.      -->
<!--  If necessary, please modify the charset parameter to specify the        -->
<!--  character set of your HTML page.                                        -->
<META HTTP-EQUIV="Content-type" CONTENT="text/html; charset=UTF-8">

<!--  NOTE: Please add the following <FORM> element to your page.             -->
<form action="https://contoso.my.salesforce.com/servlet/servlet.WebToLead?encoding=UTF-8&amp;orgId=00D5g0000000001" method="POST">

<input type=hidden name="oid" value="00D5g0000000001">
<input type=hidden name="retURL" value="http://">

<!--  NOTE: These fields are optional debugging elements.                     -->
<!--  <input type="hidden" name="debug" value=1>                              -->
<!--  <input type="hidden" name="debugEmail" value="canary@example.com">      -->

<label for="first_name">First Name</label><input  id="first_name" maxlength="40" name="first_name" size="20" type="text" /><br>
<label for="country_code">Country</label><select  id="country_code" name="country_code"><option value="">--None--</option></select><br>
Journey:<textarea  id="00N5g000001aaaa" name="00N5g000001aaaa" rows="3" type="text" wrap="soft"></textarea><br>
Stage:<input  id="00N5g000001bbbb" maxlength="40" name="00N5g000001bbbb" size="20" type="text" /><br>
<input type=hidden id="Campaign_ID" name="Campaign_ID" value="7015g000000abcd" />
<input type=hidden name="lead_source" value="Web" />
<input type="submit" name="submit">
</form>"#;

    #[test]
    fn a_generated_form_tells_everything() {
        let found = recognise(GENERATED).unwrap();
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found.value,
            Form {
                oid: "00D5g0000000001".into(),
                endpoint:
                    "https://contoso.my.salesforce.com/servlet/servlet.WebToLead?encoding=UTF-8&orgId=00D5g0000000001"
                        .into(),
                constants: vec![of("Campaign_ID", "7015g000000abcd")],
                custom: vec![of("00N5g000001aaaa", "Journey"), of("00N5g000001bbbb", "Stage")],
            }
        );
        assert_eq!(found.remarks, Vec::<String>::new());
        let generic = recognise(&GENERATED.replace("contoso.my", "webto")).unwrap();
        assert!(generic.remarks[0].contains("My Domain"), "{:?}", generic.remarks);
    }

    #[test]
    fn a_form_with_recaptcha_or_half_a_form_is_refused_with_its_mend() {
        let check = |html: &str, what: &str| {
            let told = recognise(html).unwrap_err();
            assert!(told.to_string().contains(what) && !told.to_string().contains("canary"), "{told}");
        };
        let with = |more: &str| GENERATED.replace("</form>", &format!("{more}</form>"));
        check(&with("<div class=\"g-recaptcha\" data-sitekey=\"canary\"></div>"), "reCAPTCHA");
        check(&with("<input type=hidden name='captcha_settings' value='{\"keyname\":\"canary\"}'>"), "reCAPTCHA");
        check(&with("<script src=\"https://www.google.com/recaptcha/api.js\"></script>"), "Require reCAPTCHA");
        check(&GENERATED.replace("name=\"oid\"", "name=\"canary\""), "no oid");
        check(&GENERATED.replace("action=", "canary="), "no action");
        check(&GENERATED.replace("value=\"00D5g0000000001\"", "value=\"00D5g0000000001EAB\""), "misspelt");
    }
}
