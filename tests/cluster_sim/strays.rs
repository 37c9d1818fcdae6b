//! What is known of a token beyond what WeChat does with it: who promised it, and which call brought it?

use super::wechat::{Minted, TokenId, WeChat};

/// Stands at every token.
#[derive(Default)]
pub(crate) struct Mark {
    /// Which relay made the furthest promise of it.
    pub promised_by: usize,
    /// By a call of a relay that was frozen between its last look at the lease and the first byte.
    pub is_stray: bool,
}

impl WeChat {
    /// A probe refused a token: what was said of it is not held against anybody, and since the relay may rotate at once (I8),
    /// nor is what was said of the two newest.
    pub(crate) fn waive(&mut self, refused: TokenId) {
        let newest = self.tokens.len().saturating_sub(2);
        for (id, token) in self.tokens.iter_mut().enumerate() {
            token.is_beyond_proof |= id == refused || newest <= id;
        }
        // the outsider's token stands between two of ours
        for id in self.ours.iter().rev().take(2) {
            self.tokens[*id].is_beyond_proof = true;
        }
    }

    /// The token that our own calls brought after this one.
    pub(crate) fn next_of_ours(&self, id: TokenId) -> Option<&Minted> {
        self.ours.iter().find(|next| id < **next).map(|next| &self.tokens[*next])
    }
}
