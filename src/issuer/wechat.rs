//! WeChat.
