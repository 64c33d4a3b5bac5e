//! The secrets of a destination, read again: files that were rotated.

use super::secret::{Secret, Source, Unreadable};
use super::{Access, AzureTable, Credential, Destination, Kind, Salesforce, SalesforceAuth};

impl Destination {
    /// Whether one of its secrets may come to be another while we run.
    pub fn has_secret_files(&self) -> bool {
        self.clone().secrets().into_iter().any(|(_, secret)| matches!(secret.source(), Source::File(_)))
    }

    /// The destination with the secrets that its files hold now; none if they are those that it has. An error names the
    /// key.
    pub fn with_secrets_read_again(&self) -> Result<Option<Self>, (&'static str, Unreadable)> {
        let mut again = self.clone();
        let mut changed = false;
        for (key, secret) in again.secrets() {
            let read = secret.read_again().map_err(|unreadable| (key, unreadable))?;
            changed |= read.expose() != secret.expose();
            *secret = read;
        }
        Ok(changed.then_some(again))
    }

    /// With their keys.
    fn secrets(&mut self) -> Vec<(&'static str, &mut Secret)> {
        match &mut self.kind {
            Kind::AzureTable(AzureTable { access: Access::ConnectionString(text), .. }) => {
                vec![("connection_string", &mut text.value)]
            }
            Kind::AzureTable(AzureTable { access: Access::Entra { credential, .. }, .. }) => match credential {
                Credential::ManagedIdentity { .. } => Vec::new(),
                Credential::ClientSecret { client_secret, .. } => vec![("auth.client_secret", client_secret)],
            },
            Kind::Salesforce(Salesforce { auth, .. }) => match auth {
                SalesforceAuth::ClientCredentials { client_secret, .. } => vec![("auth.client_secret", client_secret)],
                SalesforceAuth::JwtBearer { private_key, .. } => vec![("auth.private_key", &mut private_key.value)],
            },
            // An organisation's id is no secret.
            Kind::WebToLead(_) => Vec::new(),
        }
    }
}
