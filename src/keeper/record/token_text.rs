//! How does a token stand in a record? As its text: the only place where one is written out.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::credential::Token;

pub(super) fn serialize<S: Serializer>(token: &Token, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
    Token::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
}
