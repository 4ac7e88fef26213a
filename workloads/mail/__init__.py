"""The job kind `send_mail`: a mail by the platform's mail server, to members or to domains that a tenant may reach."""
