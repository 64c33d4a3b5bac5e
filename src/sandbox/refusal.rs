//! What Salesforce says when it will not. The messages repeat what was sent, as Salesforce's do: who logs them, leaks.

use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
    pub fields: Vec<String>,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: Vec::new() }
    }

    pub fn of<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Self {
        self.fields = fields.into_iter().map(str::to_owned).collect();
        self
    }

    /// As one of the errors of a call on one record. Only refusals of a record's content name fields.
    pub fn of_call(&self) -> Value {
        match self.status() {
            404 | 401 | 403 => json!({ "message": self.message, "errorCode": self.code }),
            _ => json!({ "message": self.message, "errorCode": self.code, "fields": self.fields }),
        }
    }

    /// As one of the errors of an item of a collection: the same under another name.
    pub fn of_item(&self) -> Value {
        json!({ "statusCode": self.code, "message": self.message, "fields": self.fields })
    }

    /// The HTTP status of a call that fails so.
    pub fn status(&self) -> u16 {
        match self.code {
            "NOT_FOUND" | "ENTITY_IS_DELETED" => 404,
            "INVALID_SESSION_ID" | "INVALID_AUTH_HEADER" => 401,
            "REQUEST_LIMIT_EXCEEDED" | "STORAGE_LIMIT_EXCEEDED" | "API_DISABLED_FOR_ORG" => 403,
            "METHOD_NOT_ALLOWED" => 405,
            "UNSUPPORTED_MEDIA_TYPE" => 415,
            _ => 400,
        }
    }
}

pub fn not_found() -> Refusal {
    Refusal::new("NOT_FOUND", "The requested resource does not exist")
}

pub fn no_such_column(name: &str) -> Refusal {
    Refusal::new("INVALID_FIELD", format!("No such column '{name}' on sobject of type Lead"))
}
