//! What does a success look like that is not quite one?

use serde_json::{Map, Value, json};

use crate::api::Answer;
use crate::fault::Odd;

impl Odd {
    /// The JSON text; `None` when the answer has neither a token nor a ticket.
    pub(super) fn body(&self, answer: &Answer) -> Option<Vec<u8>> {
        let (grant, name, begins_with_ok) = match answer {
            Answer::Token(grant) => (grant, "access_token", false),
            Answer::AgentToken(grant) => (grant, "access_token", true),
            Answer::Ticket(grant) => (grant, "ticket", true),
            Answer::Json(_) | Answer::Other(_) => return None,
        };
        let mut members = Map::new();
        if begins_with_ok || *self == Odd::ErrcodeZero {
            members.extend([("errcode".to_owned(), json!(0)), ("errmsg".to_owned(), json!("ok"))]);
        }
        members.insert(name.to_owned(), json!(grant.access_token));
        members.insert("expires_in".to_owned(), json!(grant.left.as_secs()));
        self.distort(&mut members, name);
        Some(Value::Object(members).to_string().into_bytes())
    }

    /// `name` is the member that has the token or the ticket.
    fn distort(&self, members: &mut Map<String, Value>, name: &str) {
        let mut set = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        match self {
            Odd::EmptyToken => set(name, json!("")),
            Odd::NullToken => set(name, Value::Null),
            Odd::NoToken => drop(members.remove(name)),
            Odd::SystemError => {
                set("errcode", json!(-1000));
                set("errmsg", json!("system error"));
                set(name, Value::Null);
                set("expires_in", json!(0));
            }
            Odd::ExpiresIn(value) => set("expires_in", value.clone()),
            Odd::NoExpiresIn => drop(members.remove("expires_in")),
            Odd::ControlCharacters => {
                let text = members[name].as_str().unwrap_or_default();
                let (front, back) = text.split_at(text.len() / 2);
                let text = format!("{front}\n\0{back}");
                members.insert(name.to_owned(), json!(text));
            }
            Odd::ErrcodeZero => {}
        }
    }
}
