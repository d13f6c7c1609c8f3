//! Bytes ↔ values of billing users: tokens and cookies, forms, pages, letters.

pub(super) mod answer;
pub(super) mod cookie;
pub(super) mod letter;
pub(super) mod pages;
pub(super) mod pages_account;
pub(super) mod pages_customer;
pub(super) mod refusal;
pub(super) mod request;
pub(super) mod sheet;
pub(super) mod token;
