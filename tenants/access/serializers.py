"""Serializers of members, invitations and API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from rest_framework import serializers

from tenants.access.api_keys import MAX_NETWORKS
from tenants.access.models import MAX_ROLE_NAME
from tenants.access.permissions import KEY_PERMISSIONS, PLATFORM_KEY_PERMISSIONS
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.models import ApiKey, Invitation, Membership, Role

ROLE = "`owner`, `developer`, `viewer`, or a role of the tenant's own."
KEY_SCOPES = [(scope.value, scope.value) for scope in sorted(KEY_PERMISSIONS)]
PLATFORM_KEY_SCOPES = [(scope.value, scope.value) for scope in sorted(PLATFORM_KEY_PERMISSIONS)]


class MemberSerializer(serializers.Serializer[Membership]):
    """A member of the tenant and the member's role."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    username = serializers.CharField(source="user.username")
    role = serializers.CharField(help_text=ROLE)
    created_at = serializers.DateTimeField()


class NewMemberSerializer(StrictSerializer):
    """Request body: the person to invite, and the role to offer."""

    user = NameField(max_length=254, help_text="A user name or e-mail address.")
    role = NameField(max_length=MAX_ROLE_NAME, default=Role.VIEWER, help_text=ROLE)


class InvitationSerializer(serializers.Serializer[Invitation]):
    """An invitation to the tenant. It does not reveal whether the invited name has an account."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    user = serializers.CharField(source="invitee", help_text="As typed by the inviter.")
    role = serializers.CharField(help_text=ROLE)
    # A string, not an enumeration: other resources have fields of this name with other choices.
    state = serializers.SerializerMethodField(help_text="`pending`, `accepted`, `revoked` or `expired`.")
    is_mailed = serializers.BooleanField(
        help_text="Whether the link was mailed to the address; false if the mail server refused it."
    )
    invited_by = serializers.CharField(source="invited_by.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_state(self, invitation: Invitation) -> str:
        return invitation.state_at(timezone.now())


class IssuedInvitationSerializer(InvitationSerializer):
    """A new invitation and its link."""

    link = serializers.CharField(allow_null=True, help_text="Shown only in this response; null if it was mailed.")


class RoleSerializer(StrictSerializer):
    """Request body: the new role of a member."""

    role = NameField(max_length=MAX_ROLE_NAME, help_text=ROLE)


class ApiKeySerializer(serializers.Serializer[ApiKey]):
    """An API key without its secret, which is not stored."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The part of the key before its dot.")
    scopes = serializers.ListField(child=serializers.CharField(), help_text="The permissions that the key has.")
    role = serializers.CharField(help_text="The role that bounds and narrows the key; empty: none.")
    allowed_addresses = serializers.ListField(
        child=serializers.CharField(), help_text="Networks that the key is accepted from; empty: from everywhere."
    )
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(
        source="created_by.username", default=None, allow_null=True, help_text="The issuer; null: a command."
    )
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class IssuedKeySerializer(ApiKeySerializer):
    """A new API key and its token."""

    token = serializers.CharField(help_text="Shown only in this response.")


class KeyRequestSerializer(StrictSerializer):
    """Request body of a new API key: its name, scopes, expiry time and allowed networks."""

    name = NameField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=KEY_SCOPES),
        min_length=1,
        max_length=len(KEY_PERMISSIONS),
        help_text="Permissions: as few as the program needs.",
    )
    role = NameField(
        max_length=MAX_ROLE_NAME, default="", allow_blank=True, help_text="A role that bounds and narrows the key."
    )
    expires_at = MomentField(
        default=None,
        allow_null=True,
        help_text="The key is refused from this time on; default: in 90 days, unless configured otherwise.",
    )
    never_expires = serializers.BooleanField(default=False, help_text="The key is valid until it is revoked.")
    allowed_addresses = serializers.ListField(
        child=serializers.CharField(max_length=50),
        default=list,
        max_length=MAX_NETWORKS,
        help_text="Addresses or networks in CIDR notation that the key is accepted from; empty: from everywhere.",
    )

    def validate_expires_at(self, value: datetime | None) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError(gettext("The time is past."))
        return value


class PlatformKeyRequestSerializer(KeyRequestSerializer):
    """Request body of a new key of the platform, which can have more scopes than a tenant's."""

    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=PLATFORM_KEY_SCOPES),
        min_length=1,
        max_length=len(PLATFORM_KEY_PERMISSIONS),
        help_text="Permissions, in all tenants: as few as the program needs.",
    )
    role = None  # type: ignore[assignment] # takes the field of the other request away


class RevocationSerializer(StrictSerializer):
    """Request body: the reason of a revocation or rotation, for the audit log."""

    reason = NameField(default="", allow_blank=True, max_length=500)
