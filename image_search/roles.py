"""What somebody may do."""

from enum import StrEnum

from image_search.errors import ConfigError


class Role(StrEnum):
    """Each may do what those before it may: a member searches, a judge judges results, a curator
    withdraws pictures, an operator runs the whole."""

    MEMBER = "member"
    JUDGE = "judge"
    CURATOR = "curator"
    OPERATOR = "operator"

    @property
    def height(self) -> int:
        """The number of roles below it."""
        return list(Role).index(self)

    def may(self, wanted: "Role") -> bool:
        """Whether this role includes another."""
        return self.height >= wanted.height


def role_named(name: str) -> Role:
    """The role of this name. Raises ConfigError that lists them."""
    try:
        return Role(name.lower())
    except ValueError:
        raise ConfigError(
            f"There is no role “{name}”; there are {', '.join(Role)}. A role stands after a "
            "colon: alice:curator."
        ) from None


def names_and_roles(text: str) -> dict[str, Role]:
    """`alice, bob:curator` → who has which role, in small letters. Raises ConfigError."""
    entries = (entry.strip() for entry in text.replace("\n", ",").split(","))
    pairs = (entry.partition(":") for entry in entries if entry)
    return {
        name.strip().lower(): role_named(role.strip() or Role.MEMBER) for name, _, role in pairs
    }
