//! What is asked for: site, canonical key, kind of object; or a refusal with its reason. Pure.
