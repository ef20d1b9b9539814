//! Tests of the HTTP client against servers written by hand.
