//! Who asks, and whether they may: admins by tokens with roles, customers by signed tokens or by their word.
//! Never decides what a flight may do, and never logs a token.

mod admin_tokens;
mod command;
mod jwt;
pub mod settings;
mod shared_tokens;
mod signature;
mod token_file;

use std::path::{Path, PathBuf};

use farerush_engine::flight::{AdminName, CustomerId, Timestamp};

use crate::base::settings::Secret;
use crate::parts::rate::{RateLimits, Rates};
use crate::wire::problem::Problem;

use self::settings::CustomerAuth;
pub use crate::wire::role::Role;
pub use admin_tokens::AdminTokens;
pub use command::{TokenCommand, lifetime, run};
pub use jwt::{CustomerTokens, JwtError, LEEWAY_SECONDS, Refused};
pub use shared_tokens::SharedTokens;
pub use token_file::{Entry, TOKENS_MAX, TokenFile, TokenFileError};

/// An admin who has shown a token that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The token's name, for the audit.
    pub name: AdminName,
    /// What the token is good for.
    pub role: Role,
}

impl Admin {
    /// Whether the role is enough; `FORBIDDEN` if it is not.
    pub fn must_be(self, role: Role) -> Result<Self, Problem> {
        if self.role >= role { Ok(self) } else { Err(Problem::role_too_little(self.role, role)) }
    }
}

/// What a request at a customer's address wants, as far as roles care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To be shown something.
    Reads,
    /// To have something changed.
    Changes,
}

/// Who asks at a customer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody: under `customer_auth = open` nobody's word is doubted.
    Anyone,
    /// This customer, by a signed token.
    Customer(CustomerId),
    /// An admin, who may act for every customer.
    Admin(Admin),
}

impl Caller {
    /// Whether this caller may act for this customer; `FORBIDDEN` if not.
    pub fn may_act_for(&self, customer: &CustomerId) -> Result<(), Problem> {
        match self {
            Self::Customer(own) if own != customer => Err(Problem::other_customer()),
            _ => Ok(()),
        }
    }

    /// Whether what this customer has may be shown to this caller. If not, it is to be answered as if it were not
    /// there: that it is there is nobody else's business.
    pub fn sees(&self, owner: &CustomerId) -> bool {
        self.may_act_for(owner).is_ok()
    }

    /// The customer that the caller is, if they are one.
    pub fn own(&self) -> Option<&CustomerId> {
        match self {
            Self::Customer(own) => Some(own),
            _ => None,
        }
    }

    /// The admin's name, if it is an admin.
    pub fn admin_name(&self) -> Option<AdminName> {
        match self {
            Self::Admin(admin) => Some(admin.name.clone()),
            _ => None,
        }
    }
}

/// Why nobody can be recognised.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The admin's token cannot be read or made.
    #[error("cannot obtain the admin token in {path}", path = .path.display())]
    AdminToken {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Customers' tokens cannot be checked.
    #[error("cannot check customers' tokens (customer_auth is jwt)")]
    CustomerTokens(#[source] JwtError),
}

/// Everything that says who somebody is, and how often they may ask.
#[derive(Debug)]
pub struct Identity {
    /// The admins' tokens.
    pub admins: AdminTokens,
    /// How customers show who they are; `None`: they say so.
    pub customers: Option<CustomerTokens>,
    /// How often anybody may ask.
    pub rates: Rates,
}

impl Identity {
    /// Reads tokens and keys: the admin's (`None`: the one in the data directory, which is made if need be) and those of
    /// customers.
    ///
    /// # Errors
    ///
    /// If a file of tokens or a key cannot be read, or made.
    pub fn open(
        admin_token: Option<&Secret>,
        data_dir: &Path,
        customer_auth: &CustomerAuth,
        rate_limits: &RateLimits,
    ) -> Result<Self, AuthError> {
        let admins = AdminTokens::open(admin_token, data_dir).map_err(|source| match source {
            TokenFileError::Unreadable { path, source } => AuthError::AdminToken { path, source },
            other => AuthError::AdminToken {
                path: data_dir.join("admin.token"),
                source: std::io::Error::other(other),
            },
        })?;
        let customers = match customer_auth {
            CustomerAuth::Open => None,
            CustomerAuth::Jwt(jwt) => Some(CustomerTokens::new(jwt).map_err(AuthError::CustomerTokens)?),
        };
        Ok(Self { admins, customers, rates: Rates::new(rate_limits) })
    }

    /// Whether a grab can be taken without knowing more of the request than its body.
    pub fn asks_nothing_of_customers(&self) -> bool {
        self.customers.is_none() && self.rates.are_off()
    }

    /// Whether requests have to say from which address they come: it is limited, or customers can be invented, so that
    /// what they cause counts for their address as well.
    pub fn needs_addresses(&self) -> bool {
        self.customers.is_none() || self.rates.know_addresses()
    }

    /// The admin whose token this `Authorization` header shows: `UNAUTHORIZED` without one, `FORBIDDEN` if its role is
    /// too little, `RATE_LIMITED` if it is used too often.
    pub async fn admin(
        &self,
        authorization: Option<&str>,
        role: Role,
        now: Timestamp,
    ) -> Result<Admin, Problem> {
        let shown = authorization.and_then(bearer).ok_or_else(Problem::unauthorized)?;
        let admin = self.admins.check(shown, now).ok_or_else(Problem::unauthorized)?;
        self.rates.token(&admin.name).await?;
        admin.must_be(role)
    }

    /// Who asks at a customer's address. Under `open` nobody has to show anything.
    pub async fn caller(
        &self,
        authorization: Option<&str>,
        intent: Intent,
        now: Timestamp,
    ) -> Result<Caller, Problem> {
        let Some(customers) = &self.customers else { return Ok(Caller::Anyone) };
        let shown =
            authorization.and_then(bearer).ok_or_else(|| Problem::customer_unknown("none was sent"))?;
        if let Some(admin) = self.admins.check(shown, now) {
            self.rates.token(&admin.name).await?;
            let role = if intent == Intent::Reads { Role::Viewer } else { Role::Operator };
            return admin.must_be(role).map(Caller::Admin);
        }
        let customer = customers.check(shown).map_err(|why| Problem::customer_unknown(why.why()))?;
        self.rates.customer(&customer).await?;
        Ok(Caller::Customer(customer))
    }

    /// Who tells of a payment. Under `open` too, an operator's token says more than its absence.
    pub async fn payer(&self, authorization: Option<&str>, now: Timestamp) -> Result<Caller, Problem> {
        if self.customers.is_some() {
            return self.caller(authorization, Intent::Changes, now).await;
        }
        let shown = authorization.and_then(bearer).and_then(|shown| self.admins.check(shown, now));
        // A lesser role is no less than no token.
        let Some(admin) = shown.filter(|admin| admin.role >= Role::Operator) else {
            return Ok(Caller::Anyone);
        };
        self.rates.token(&admin.name).await?;
        Ok(Caller::Admin(admin))
    }

    /// For which customer something is asked: the one that is named, or else the caller; `None` if neither says so.
    /// `FORBIDDEN` if a customer names another one.
    pub async fn customer_of(
        &self,
        caller: &Caller,
        named: Option<CustomerId>,
    ) -> Result<Option<CustomerId>, Problem> {
        if let Some(named) = &named {
            self.let_act(caller, named).await?;
        }
        Ok(named.or_else(|| caller.own().cloned()))
    }

    /// Whether the caller may have something done for this customer now: `FORBIDDEN` if it is another one,
    /// `RATE_LIMITED` if it is one request too many.
    pub async fn let_act(&self, caller: &Caller, customer: &CustomerId) -> Result<(), Problem> {
        caller.may_act_for(customer)?;
        // Whoever shows a token was counted when it was checked.
        if *caller == Caller::Anyone { self.rates.customer(customer).await } else { Ok(()) }
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        let of = |role| Admin { name: AdminName::new("n").unwrap(), role };
        for (at, has) in Role::ALL.into_iter().enumerate() {
            for (needed_at, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(of(has).must_be(needed).is_ok(), at >= needed_at, "{has:?} {needed:?}");
            }
            assert_eq!(Role::from_name(has.as_str()), Some(has));
        }
        assert_eq!(Role::from_name("root"), None);
    }

    #[test]
    fn a_customer_acts_for_nobody_else() {
        let customer = |name| CustomerId::new(name).unwrap();
        let admin = Caller::Admin(Admin { name: AdminName::new("n").unwrap(), role: Role::Viewer });
        let own = Caller::Customer(customer("a"));
        assert!(own.sees(&customer("a")) && !own.sees(&customer("b")));
        assert!(Caller::Anyone.sees(&customer("b")) && admin.sees(&customer("b")));
        assert_eq!(
            own.may_act_for(&customer("b")).unwrap_err().code(),
            crate::wire::problem::Code::Forbidden
        );
    }

    #[test]
    fn only_a_bearer_header_shows_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for wrong in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }
}
